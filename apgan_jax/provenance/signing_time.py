"""When a file was signed: the dates of the signer's certificate, and the time stamp if any.

A certificate ends, and what it signed before is as good as ever; only, who finds an old key can
sign with an earlier date. A time stamp (RFC 3161) of somebody else shows that the signature was
there before the end.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class SigningTime:
    """All times are in UTC.

    Attributes:
      valid_from: of the signer's certificate.
      valid_until: of the same.
      stamp: when an authority saw the signature; None without a time stamp.
      authority: the name of that authority.
      is_stamp_trusted: the user trusts that authority; stamps of others prove nothing.
    """

    valid_from: datetime
    valid_until: datetime
    stamp: datetime | None = None
    authority: str | None = None
    is_stamp_trusted: bool = False

    @property
    def is_past(self) -> bool:
        """Whether the certificate is out of date by now."""
        return not self.valid_from <= datetime.now(UTC) <= self.valid_until

    def remark(self) -> str:
        """What follows from it for a file whose certificate is out of date."""
        dates = f'{self.valid_from:%Y-%m-%d} to {self.valid_until:%Y-%m-%d}'
        past = (
            f'expired since ({dates})'
            if self.valid_until < datetime.now(UTC)
            else f"its certificate is of later ({dates}): see this computer's clock"
        )
        if self.stamp is None:
            return f'{past}, and without a time stamp nobody can tell whether valid when signed'
        if not self.valid_from <= self.stamp <= self.valid_until:
            return f'{past}, and not valid when signed'
        if self.is_stamp_trusted:
            return f'{past}, valid when signed'
        return f'{past}, valid when signed if {self.authority} is to be trusted: --trust its root'

    def line(self) -> str:
        """When it was signed, for a terminal; empty where nobody says."""
        if self.stamp is None:
            return ''
        whom = 'whom you trust' if self.is_stamp_trusted else 'unknown to you'
        return f'{self.stamp:%Y-%m-%d %H:%M} UTC, says the time stamp of {self.authority}, {whom}'


def signing_time(dated: dict[str, Any], label: str) -> SigningTime | None:
    """When a manifest was signed.

    Args:
      dated: a store as `c2pa.Reader.crjson` has it; a stranger wrote it.
      label: of the manifest.

    Returns:
      None where the signer's certificate cannot be read.
    """
    manifest: dict[str, Any] = next((m for m in dated['manifests'] if m['label'] == label), {})
    signature = manifest.get('signature', {})
    validity = signature.get('certificateInfo', {}).get('validity')
    if validity is None:
        return None
    time = SigningTime(
        valid_from=datetime.fromisoformat(validity['notBefore']),
        valid_until=datetime.fromisoformat(validity['notAfter']),
    )
    stamp = signature.get('timeStampInfo')
    if stamp is None:
        return time
    subject = stamp.get('certificateInfo', {}).get('subject', {})
    passed = manifest.get('validationResults', {}).get('success', [])
    return replace(
        time,
        stamp=datetime.fromisoformat(stamp['timestamp']),
        authority=subject.get('CN') or subject.get('O') or 'an authority without a name',
        is_stamp_trusted=any(item['code'] == 'timeStamp.trusted' for item in passed),
    )
