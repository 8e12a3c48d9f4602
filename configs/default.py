"""Every field there is, with the paper's values; the other configurations only override."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The full model of the paper at 128 px, without a data set."""
    config = ConfigDict()
    config.seed = 0
    # A folder that `python -m data_prep.build` wrote.
    config.data_dir = ''
    # Height and width of the crops, pixels; the data set must have it too.
    config.size = 128
    # Over all devices and processes.
    config.batch_size = 16
    # Parts that a batch goes through the networks in, one after the other, to need less memory.
    config.accumulation_steps = 1
    config.num_steps = 100_000
    # 'float32' or 'bfloat16', of the two networks' layers; parameters, gradients, statistics and
    # losses are float32 always.
    config.dtype = 'float32'

    config.generator = ConfigDict()
    # Channels from full resolution down, halving the resolution each time.
    config.generator.widths = (16, 32, 64, 128, 256, 256)
    # Decoder stages by resolution, pixels (paper IV-A).
    config.generator.id_resolutions = (4, 8, 16, 32, 64)
    config.generator.pe_resolutions = (64, 128)
    config.generator.skip_resolutions = (4, 8, 16, 32, 64, 128)
    # Hidden channels of the PE blocks' modulation.
    config.generator.pe_hidden = 16
    # Channels of the pooled identity features a stage; 0: identity vector alone.
    config.generator.id_features = 128
    # False: AdaIN instead of AdaLIN.
    config.generator.use_layer_norm = True

    config.discriminator = ConfigDict()
    config.discriminator.width = 32
    config.discriminator.depth = 4
    config.discriminator.num_scales = 3
    # Not in the paper: what keeps spectrally normalised layers from fading, see the module.
    config.discriminator.activation_gain = 2.0
    # False: not PE-aware.
    config.discriminator.use_boundary_map = True

    # 'mobilefacenet', 'sface', 'iresnet18', 'iresnet34', 'iresnet50' or 'iresnet100'.
    config.identity_encoder = 'mobilefacenet'
    # A file that data_prep.port_arcface wrote; '': the shipped one (mobilefacenet only).
    config.identity_encoder_path = ''

    config.loss = ConfigDict()
    # 'bce', 'hinge' or 'lsgan'.
    config.loss.adversarial_kind = 'bce'
    # Eq. 11.
    config.loss.adversarial_weight = 2.0
    config.loss.identity_weight = 10.0
    config.loss.reconstruction_weight = 10.0
    config.loss.occlusion_weight = 1.0
    config.loss.style_weight = 3.0
    # lambda_1 of eq. 7.
    config.loss.different_reconstruction_weight = 0.1
    # Not the paper's: of the swapped face's landmarks from the target's, in squares of one per cent
    # of the crop's size; see apgan_jax/models/landmark_reader.py. 0: without.
    config.loss.landmark_weight = 0.0
    # A file that data_prep.train_landmark_reader wrote; '': the shipped one.
    config.loss.landmark_reader_path = ''

    config.optimizer = ConfigDict()
    config.optimizer.generator_learning_rate = 1e-4
    config.optimizer.discriminator_learning_rate = 4e-4
    config.optimizer.beta1 = 0.0
    # The paper prints 0, which makes Adam a sign method.
    config.optimizer.beta2 = 0.999
    config.optimizer.warmup_steps = 0
    # Steps of the final cosine decay to 0; 0: none.
    config.optimizer.decay_steps = 0
    config.optimizer.ema_decay = 0.999

    config.data = ConfigDict()
    # Parts of the pairs whose source is the target's photo, and another photo of the same person;
    # the others show different people, as far as there are labels.
    config.data.same_image_share = 0.2
    config.data.same_identity_share = 0.0
    # Source and target at random, each for itself.
    config.data.mirror = True
    # How far a source is changed at most, to both sides; 0: not at all. Brightness, contrast,
    # saturation and scale are relative, rotation is in degrees, shift a part of the size.
    config.data.source_jitter = ConfigDict()
    config.data.source_jitter.brightness = 0.0
    config.data.source_jitter.contrast = 0.0
    config.data.source_jitter.saturation = 0.0
    config.data.source_jitter.rotation = 0.0
    config.data.source_jitter.scale = 0.0
    config.data.source_jitter.shift = 0.0
    # Corrupt records are skipped; more than this part of those read stops the run.
    config.data.max_corrupt_share = 0.01
    config.data.num_threads = 1
    # Pairs held ready.
    config.data.prefetch = 64

    config.mesh = ConfigDict()
    # -1: what is left of the devices.
    config.mesh.data = -1
    config.mesh.fsdp = 1

    # For several processes where JAX does not recognise the cluster: host:port of process 0, how
    # many, and which one this is. Cloud TPU, GKE, SLURM and Open MPI need none of them.
    config.distributed = ConfigDict()
    config.distributed.coordinator_address = ''
    config.distributed.num_processes = 0
    config.distributed.process_id = -1

    # A bundle whose weights a new run starts from; '': random ones. See
    # apgan_jax/training/warm_start.py.
    config.init_from = ''
    # And the discriminator's; '': NAME.discriminator.safetensors beside it, if there; 'none': anew.
    config.init_discriminator_from = ''

    config.evaluation = ConfigDict()
    # Steps between evaluations with the averaged weights, pictures included; 0: none.
    config.evaluation.every = 1_000
    # A data set of people that training does not see; '': fixed pairs of data_dir, called so.
    config.evaluation.data_dir = ''
    # Of different people, always the same ones.
    config.evaluation.num_pairs = 64
    # Of them drawn.
    config.evaluation.num_pictures = 8

    config.watch = ConfigDict()
    # Of one device, that utilisation is a share of; 0: the known ones' own, none on a CPU.
    config.watch.peak_tflops = 0.0

    # The trace of some steps, for TensorBoard's profiler; it goes to the work folder. See
    # apgan_jax/training/profiling.py.
    config.profile = ConfigDict()
    # The first of them; 0: no trace. A session's first step compiles: choose a later one.
    config.profile.first_step = 0
    # How many steps are traced.
    config.profile.num_steps = 5

    # Steps between log lines.
    config.log_every = 50
    # Most steps that a kill loses. Half as many lie between checkpoints, written in the background.
    config.checkpoint_every = 500
    # How many of the newest checkpoints stay.
    config.keep_checkpoints = 3
    return config
