import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apgan_jax.training import losses


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def logits(seed):
    """Two scales."""
    return [normal(3, 4, 4, 1, seed=seed), normal(3, 2, 2, 1, seed=seed + 100)]


def features(seed):
    """Two scales of three stages."""
    sizes = ((8, 2), (4, 3), (4, 5))
    return [
        [normal(2, size >> scale, size >> scale, c, seed=seed + 10 * scale) for size, c in sizes]
        for scale in range(2)
    ]


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def test_equations_4_and_5_for_the_discriminator():
    expected = sum(
        -np.log(sigmoid(real)).mean() - np.log(1 - sigmoid(fake)).mean()
        for real, fake in zip(logits(0), logits(1), strict=True)
    )
    loss = losses.discriminator_loss(real_logits=logits(0), fake_logits=logits(1))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_equations_4_and_5_for_the_generator():
    expected = sum(-np.log(sigmoid(fake)).mean() for fake in logits(1))
    assert float(losses.adversarial_loss(fake_logits=logits(1))) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize(
    'kind, discriminator, generator',
    [
        # Real 2 and 0.5, fake -3 and 0.5, each the only patch of its scale.
        ('bce', np.log1p(np.exp(-2)) + np.log1p(np.exp(-3)), np.log1p(np.exp(3))),
        ('hinge', 0 + 0, 3.0),
        ('lsgan', 1 + 9, 16.0),
    ],
)
def test_kinds_by_hand(kind, discriminator, generator):
    real, fake = [jnp.full((1, 1, 1, 1), 2.0)], [jnp.full((1, 1, 1, 1), -3.0)]
    loss = losses.discriminator_loss(real_logits=real, fake_logits=fake, kind=kind)
    assert float(loss) == pytest.approx(discriminator, rel=1e-5)
    loss = losses.adversarial_loss(fake_logits=fake, kind=kind)
    assert float(loss) == pytest.approx(generator, rel=1e-5)


def test_hinge_inside_its_margin():
    half = [jnp.full((1, 1, 1, 1), 0.5)]
    loss = losses.discriminator_loss(real_logits=half, fake_logits=half, kind='hinge')
    assert float(loss) == pytest.approx(0.5 + 1.5)


def test_large_logits_stay_finite():
    large = [jnp.full((1, 1, 1, 1), -500.0)]
    loss = losses.discriminator_loss(real_logits=large, fake_logits=large)
    assert float(loss) == pytest.approx(500)
    gradient = jax.grad(lambda x: losses.adversarial_loss(fake_logits=[x]))(large[0])
    assert float(gradient[0, 0, 0, 0]) == pytest.approx(-1)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"'wgan'.*bce, hinge, lsgan"):
        losses.adversarial_loss(fake_logits=logits(0), kind='wgan')
    with pytest.raises(ValueError, match="'wgan'"):
        losses.discriminator_loss(real_logits=logits(0), fake_logits=logits(0), kind='wgan')


def test_scales_must_match():
    with pytest.raises(ValueError, match='zip'):
        losses.discriminator_loss(real_logits=logits(0), fake_logits=logits(0)[:1])


def test_equation_6_by_hand():
    swapped = jnp.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    source = jnp.array([[5.0, 0.0], [0.0, -1.0], [1.0, 0.0]])
    np.testing.assert_allclose(
        losses.cosine_similarity(swapped, source), [1, -1, 0.5**0.5], rtol=1e-6
    )
    loss = losses.identity_loss(swapped_vector=swapped, source_vector=source)
    assert float(loss) == pytest.approx((0 + 2 + 1 - 0.5**0.5) / 3, rel=1e-6)


def test_equation_7_is_decided_per_example():
    swapped, target = normal(4, 6, 6, 3), normal(4, 6, 6, 3, seed=1)
    same_image = np.array([True, False, False, True])
    errors = np.square(swapped.astype(np.float64) - target).mean((1, 2, 3))
    expected = np.mean(errors * [1, 0.1, 0.1, 1])
    arguments = {'swapped': swapped, 'target': target, 'same_image': same_image}
    assert float(losses.reconstruction_loss(**arguments)) == pytest.approx(expected, rel=1e-5)
    loss = losses.reconstruction_loss(**arguments, different_weight=0.0)
    assert float(loss) == pytest.approx(np.mean(errors * same_image), rel=1e-5)


def test_equation_8():
    expected = np.mean(
        [
            sum(
                np.square(t.astype(np.float64) - s).mean()
                for t, s in zip(target, swapped, strict=True)
            )
            for target, swapped in zip(features(0), features(1), strict=True)
        ]
    )
    loss = losses.occlusion_perceptual_loss(
        target_features=features(0), swapped_features=features(1)
    )
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def oracle_gram(x):
    """Eq. 10 with eq. 9's factor, float64, by loops over channels."""
    n, height, width, channels = x.shape
    x = np.asarray(x, np.float64)
    gram = np.zeros((n, channels, channels))
    for i in range(channels):
        for j in range(channels):
            gram[:, i, j] = (x[..., i] * x[..., j]).sum((1, 2)) / (channels * height * width)
    return gram


def test_equation_10():
    x = normal(2, 4, 3, 5)
    np.testing.assert_allclose(losses.gram_matrix(x), oracle_gram(x), rtol=1e-5, atol=1e-7)


def test_equation_10_by_hand():
    x = jnp.array([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    np.testing.assert_allclose(losses.gram_matrix(x)[0], np.array([[10, 14], [14, 20]]) / 4)


def test_equation_9():
    expected = np.mean(
        [
            sum(
                np.square(oracle_gram(t) - oracle_gram(s)).sum((1, 2)).mean()
                for t, s in zip(target, swapped, strict=True)
            )
            for target, swapped in zip(features(0), features(1), strict=True)
        ]
    )
    loss = losses.style_perceptual_loss(target_features=features(0), swapped_features=features(1))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


PERCEPTUAL = [losses.occlusion_perceptual_loss, losses.style_perceptual_loss]


@pytest.mark.parametrize('loss', PERCEPTUAL)
def test_no_gradient_flows_into_the_targets_features(loss):
    def value(target, swapped):
        return loss(target_features=target, swapped_features=swapped)

    into_target, into_swapped = jax.grad(value, argnums=(0, 1))(features(0), features(1))
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(into_target))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(into_swapped))


@pytest.mark.parametrize('loss', PERCEPTUAL)
def test_perceptual_losses_are_0_where_nothing_changed(loss):
    assert float(loss(target_features=features(0), swapped_features=features(0))) == 0


def test_reconstruction_is_0_where_nothing_changed():
    x = normal(2, 4, 4, 3)
    same = np.array([True, False])
    assert float(losses.reconstruction_loss(swapped=x, target=x, same_image=same)) == 0


def test_means_are_taken_in_float32():
    """In bfloat16 a sum of 4096 ones stops at 256."""
    ones = jnp.ones((1, 64, 64, 1), jnp.bfloat16)
    loss = losses.occlusion_perceptual_loss(
        target_features=[[jnp.zeros_like(ones)]], swapped_features=[[ones]]
    )
    assert loss.dtype == jnp.float32
    assert float(loss) == 1
    assert float(losses.gram_matrix(ones)[0, 0, 0]) == 1


def test_the_papers_weights():
    assert losses.LossWeights() == losses.LossWeights(
        adversarial=2,
        identity=10,
        reconstruction=10,
        occlusion=1,
        style=3,
        different_reconstruction=0.1,
    )


def test_the_identity_term_ends_at_its_margin():
    source = jnp.array([[1.0, 0.0]])

    def loss(angle, margin):
        swapped = jnp.array([[jnp.cos(angle), jnp.sin(angle)]])
        return losses.identity_loss(swapped_vector=swapped, source_vector=source, margin=margin)

    far, near = np.arccos(0.5), np.arccos(0.9)
    assert float(loss(far, 0.8)) == pytest.approx(0.3, abs=1e-6)
    assert float(jax.grad(loss)(far, 0.8)) == pytest.approx(np.sin(far), rel=1e-5)
    assert float(loss(near, 0.8)) == float(jax.grad(loss)(near, 0.8)) == 0
    assert float(loss(near, 1.0)) == pytest.approx(0.1, abs=1e-6)


def test_the_truth_counts_where_there_is_one():
    swapped, truth = normal(3, 4, 4, 3), normal(3, 4, 4, 3, seed=1)
    has_truth = np.array([True, False, True])
    squares = np.square(swapped.astype(np.float64) - truth).mean(axis=-1)
    arguments = {'truth': truth, 'has_truth': has_truth}
    loss = losses.truth_loss(swapped=swapped, **arguments)
    assert float(loss) == pytest.approx((squares[0].mean() + squares[2].mean()) / 3, rel=1e-5)
    emphasis = 1 + 3 * (normal(3, 4, 4, 1, seed=2) > 0)
    loss = losses.truth_loss(swapped=swapped, emphasis=emphasis, **arguments)
    weighted = (squares * emphasis[..., 0]).mean(axis=(1, 2)) * has_truth
    assert float(loss) == pytest.approx(weighted.mean(), rel=1e-5)
    gradient = jax.grad(lambda x: losses.truth_loss(swapped=x, **arguments))(jnp.array(swapped))
    expected = 2 * (swapped - truth) * has_truth[:, None, None, None] / swapped.size
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-8)


def test_what_a_mask_costs_by_hand():
    mask, truth = jnp.array([[[[0.2], [1.0]]]]), jnp.array([[[[0.0], [0.5]]]])
    assert float(losses.mask_loss(mask=mask, truth=truth)) == pytest.approx((0.04 + 0.25) / 2)
    assert float(losses.mask_cost_loss(mask=mask)) == pytest.approx(0.6)
    gradient = jax.grad(lambda x: losses.mask_loss(mask=x, truth=truth))(mask)
    np.testing.assert_allclose(gradient, mask - truth, rtol=1e-6)


def test_two_frames_of_a_photo_are_compared_where_both_show_it():
    moved, again = jnp.zeros((1, 1, 2, 3)), jnp.full((1, 1, 2, 3), 0.5)
    seen = jnp.array([[[[1.0], [0.0]]]])

    def loss(moved, again):
        return losses.shift_loss(moved_swap=moved, swap_of_moved=again, seen=seen)

    assert float(loss(moved, again)) == pytest.approx(0.125)
    to_moved, to_again = jax.grad(loss, argnums=(0, 1))(moved, again)
    assert not to_moved.any()
    np.testing.assert_allclose(to_again[0, 0, :, 0], [2 * 0.5 / 6, 0], rtol=1e-6)


def test_point_weights_are_of_the_points():
    swapped, target = jnp.zeros((1, 2, 2)), jnp.array([[[0.01, 0.0], [0.0, 0.02]]])
    arguments = {'swapped_landmarks': swapped, 'target_landmarks': target}
    assert float(losses.landmark_loss(**arguments)) == pytest.approx(2.5, rel=1e-5)
    weights = np.array([1.0, 3.0], np.float32)
    loss = losses.landmark_loss(**arguments, point_weights=weights)
    assert float(loss) == pytest.approx((1 + 12) / 2, rel=1e-5)


@pytest.mark.parametrize('step, expected', [(0, 60.0), (15, 32.5), (20, 5.0), (99, 5.0)])
def test_weights_follow_their_course(step, expected):
    weights = losses.LossWeights(truth=7.0)
    course = {'mask_error': ((10, 60.0), (20, 5.0))}
    found = jax.jit(lambda step: losses.weights_at(weights, course, step))(jnp.array(step))
    assert float(found.mask_error) == pytest.approx(expected)
    assert found.truth == 7.0 and found.adversarial == 2.0
