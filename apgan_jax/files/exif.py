"""What of a photo's EXIF goes into a picture made of it.

A list of what is kept, because all else would be of another picture: the thumbnail and the makers'
notes show the original's face, its orientation and size belong to the stored pixels, and a TIFF
has its layout in the same place.
"""

from PIL import ExifTags, Image

_BASE, _IFD = ExifTags.Base, ExifTags.IFD
_KEPT = (
    *(_BASE.ImageDescription, _BASE.Make, _BASE.Model, _BASE.Software, _BASE.DateTime),
    *(_BASE.Artist, _BASE.HostComputer, _BASE.Copyright),
    *(_BASE.XResolution, _BASE.YResolution, _BASE.ResolutionUnit),
)
_DROPPED = {_BASE.MakerNote, _BASE.ExifImageWidth, _BASE.ExifImageHeight, _IFD.Interop}


def kept_exif(exif: Image.Exif) -> bytes:
    """The part that still holds, as TIFF bytes; empty for none.

    Raises:
      Exception: it is damaged, in as many ways as there are.
    """
    kept = Image.Exif()
    for tag in _KEPT:
        if tag in exif:
            kept[tag] = exif[tag]
    for part in (_IFD.Exif, _IFD.GPSInfo):
        values = {tag: value for tag, value in exif.get_ifd(part).items() if tag not in _DROPPED}
        if values:
            kept[part] = values
    return kept.tobytes().removeprefix(b'Exif\0\0') if len(kept) else b''
