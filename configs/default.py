"""Every field there is, with the paper's values; the other configurations only override."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The full model of the paper at 128 px, without a data set."""
    config = ConfigDict()
    # Of the first weights, and of all that chance decides about the batches.
    config.seed = 0
    # A folder that `python -m data_prep.build` wrote.
    config.data_dir = ''
    # Height and width of the crops, pixels; the data set must have it too.
    config.size = 128
    # Pairs a step, over all devices and processes.
    config.batch_size = 16
    # Parts that a batch goes through the networks in, one after the other, to need less memory.
    config.accumulation_steps = 1
    # Where the run ends. A longer one may go on from there.
    config.num_steps = 100_000
    # 'float32' or 'bfloat16', of the two networks' layers; parameters, gradients, statistics and
    # losses are float32 always.
    config.dtype = 'float32'

    config.generator = ConfigDict()
    # Channels from full resolution down, halving the resolution each time.
    config.generator.widths = (16, 32, 64, 128, 256, 256)
    # Decoder stages with an ID block (identity modulates features), by resolution, pixels (paper
    # IV-A).
    config.generator.id_resolutions = (4, 8, 16, 32, 64)
    # Decoder stages with a PE block (the boundary map modulates them), likewise.
    config.generator.pe_resolutions = (64, 128)
    # Decoder stages that also get the encoder's features of the target, likewise.
    config.generator.skip_resolutions = (4, 8, 16, 32, 64, 128)
    # Hidden channels of the PE blocks' modulation.
    config.generator.pe_hidden = 16
    # Channels of the pooled identity features a stage; 0: identity vector alone.
    config.generator.id_features = 128
    # False: AdaIN instead of AdaLIN.
    config.generator.use_layer_norm = True

    config.discriminator = ConfigDict()
    # Channels of the first stage; each further one doubles them.
    config.discriminator.width = 32
    # Stages before the logits.
    config.discriminator.depth = 4
    # Equal discriminators, on the picture at full, half, quarter … size.
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
    # Weights of eq. 11. This one is of looking real to the discriminators.
    config.loss.adversarial_weight = 2.0
    # Of having the source's identity.
    config.loss.identity_weight = 10.0
    # Of being the target where source and target are the same photo (eq. 7).
    config.loss.reconstruction_weight = 10.0
    # Of having the target's features, as the discriminators see them (eq. 8): what hides the face.
    config.loss.occlusion_weight = 1.0
    # Of having the Gram matrices of those features (eq. 9): the target's colours and textures.
    config.loss.style_weight = 3.0
    # Of being the target where they are not, relative to that (lambda_1 of eq. 7).
    config.loss.different_reconstruction_weight = 0.1
    # Not the paper's: of the swapped face's landmarks from the target's, in squares of one per cent
    # of the crop's size; see apgan_jax/models/landmark_reader.py. 0: without.
    config.loss.landmark_weight = 0.0
    # A file that data_prep.train_landmark_reader wrote; '': the shipped one.
    config.loss.landmark_reader_path = ''

    config.optimizer = ConfigDict()
    # Adam's, after warm-up and before decay.
    config.optimizer.generator_learning_rate = 1e-4
    # Likewise.
    config.optimizer.discriminator_learning_rate = 4e-4
    # Adam's decay of the mean of gradients; 0: the newest alone.
    config.optimizer.beta1 = 0.0
    # Adam's decay of the mean of squared gradients. The paper prints 0, which makes Adam a sign
    # method.
    config.optimizer.beta2 = 0.999
    # Steps in which the rates rise from 0; 0: none.
    config.optimizer.warmup_steps = 0
    # Steps of the final cosine decay to 0; 0: none.
    config.optimizer.decay_steps = 0
    # Of the moving average of the generator's weights, which is what is evaluated and exported.
    config.optimizer.ema_decay = 0.999

    config.data = ConfigDict()
    # Part of the pairs whose source is the target's photo (eq. 7's first case).
    config.data.same_image_share = 0.2
    # Part of the pairs whose source is another photo of the target's person; the other pairs show
    # different people. Without labels each photo counts as a person of its own.
    config.data.same_identity_share = 0.0
    # Whether source and target are mirrored at random, each for itself.
    config.data.mirror = True
    # How far a source is changed at most, to both sides; 0: not at all.
    config.data.source_jitter = ConfigDict()
    # Relative.
    config.data.source_jitter.brightness = 0.0
    # Relative.
    config.data.source_jitter.contrast = 0.0
    # Relative.
    config.data.source_jitter.saturation = 0.0
    # Degrees.
    config.data.source_jitter.rotation = 0.0
    # Relative, of the size.
    config.data.source_jitter.scale = 0.0
    # As a part of the size, along each axis.
    config.data.source_jitter.shift = 0.0
    # Corrupt records are skipped; more than this part of those read stops the run.
    config.data.max_corrupt_share = 0.01
    # That read and decode, in each process.
    config.data.num_threads = 1
    # Pairs held ready.
    config.data.prefetch = 64

    config.mesh = ConfigDict()
    # Groups of devices that a batch is split over; -1: what is left of the devices.
    config.mesh.data = -1
    # Devices of a group, over which the state is split and the batch too.
    config.mesh.fsdp = 1

    # For several processes where JAX does not recognise the cluster. Cloud TPU, GKE, SLURM and Open
    # MPI need none of these.
    config.distributed = ConfigDict()
    # host:port of process 0; '': one process, or a cluster that JAX recognises.
    config.distributed.coordinator_address = ''
    # How many there are.
    config.distributed.num_processes = 0
    # Which one this is, from 0.
    config.distributed.process_id = -1

    # A bundle whose weights a new run starts from; '': random ones. See
    # apgan_jax/training/warm_start.py.
    config.init_from = ''
    # The discriminator's weights to start from with it; '': NAME.discriminator.safetensors beside
    # it, if there; 'none': random ones.
    config.init_discriminator_from = ''

    config.evaluation = ConfigDict()
    # Steps between evaluations with the averaged weights, pictures included; 0: none.
    config.evaluation.every = 1_000
    # A data set of people that training does not see; '': fixed pairs of data_dir, called so.
    config.evaluation.data_dir = ''
    # Pairs of different people, always the same ones.
    config.evaluation.num_pairs = 64
    # Of these pairs, how many are drawn.
    config.evaluation.num_pictures = 8

    config.watch = ConfigDict()
    # TFLOP/s of one device that utilisation is a share of; 0: the known ones' own, none on a CPU.
    config.watch.peak_tflops = 0.0

    # Steps between log lines.
    config.log_every = 50
    # Most steps that a kill loses. Half as many lie between checkpoints, written in the background.
    config.checkpoint_every = 500
    # How many of the newest checkpoints stay.
    config.keep_checkpoints = 3
    return config
