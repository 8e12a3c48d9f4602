"""Every field there is, with the paper's values; the other configurations only override."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The full model of the paper at 128 px, without a data set."""
    config = ConfigDict()
    # Decides the initial weights, and the data's order, pairs, mirroring and jitter.
    config.seed = 0
    # A folder that `python -m data_prep.build` wrote.
    config.data_dir = ''
    # Height and width of the crops, pixels; the data set must have it too.
    config.size = 128
    # 'head-v1', the paper's whole head, or 'face-v1', brow to chin; the data set must have it too.
    config.crop = 'head-v1'
    # Pairs a step, over all devices and processes.
    config.batch_size = 16
    # Parts that a batch goes through the networks in, one after the other, to need less memory.
    config.accumulation_steps = 1
    # Steps of the whole run.
    config.num_steps = 100_000
    # 'float32' or 'bfloat16', of the two networks' layers; parameters, gradients, statistics and
    # losses are float32 always.
    config.dtype = 'float32'
    # 'float32' or 'bfloat16', of the products in the two networks' convolutions while they train on
    # one CPU device that has AVX512_BF16; sums and all else stay float32. Elsewhere 'bfloat16'
    # changes nothing, and CPUs say so.
    config.cpu_products = 'float32'

    # The U-Net of paper III-A, fig. 2.
    config.generator = ConfigDict()
    # Channels from full resolution down, halving the resolution each time.
    config.generator.widths = (16, 32, 64, 128, 256, 256)
    # Resolutions of the decoder's stages with an ID block, pixels (paper IV-A).
    config.generator.id_resolutions = (4, 8, 16, 32, 64)
    # Resolutions of the stages with a PE block.
    config.generator.pe_resolutions = (64, 128)
    # Resolutions of the stages that see the encoder's features.
    config.generator.skip_resolutions = (4, 8, 16, 32, 64, 128)
    # Hidden channels of the PE blocks' modulation.
    config.generator.pe_hidden = 16
    # Channels of the pooled identity features a stage; 0: identity vector alone.
    config.generator.id_features = 128
    # False: AdaIN instead of AdaLIN.
    config.generator.use_layer_norm = True
    # Not in the paper: a mask that the generator makes beside its picture, for hair, glasses and
    # hands to stay the target's. Without a loss that teaches it, it closes.
    config.generator.mask = False
    # Not in the paper: first and last stage at a size this many times smaller, with the channels of
    # this many pixels squared. `widths` and the resolutions count from there.
    config.generator.shuffle = 1
    # Not in the paper: channels of two convolutions at full resolution behind the last stage; 0:
    # none.
    config.generator.refine_channels = 0

    # The multi-scale PE-aware one of paper III-B.
    config.discriminator = ConfigDict()
    # Channels of its first stage; they double from stage to stage.
    config.discriminator.width = 32
    # Stages before the logits.
    config.discriminator.depth = 4
    # Equal discriminators, on the picture at full, half, quarter … size.
    config.discriminator.num_scales = 3
    # Not in the paper: what keeps spectrally normalised layers from fading, see the module.
    config.discriminator.activation_gain = 2.0
    # False: not PE-aware.
    config.discriminator.use_boundary_map = True
    # Not in the paper: hidden channels of a small discriminator on each stage of the identity
    # encoder, which is frozen; 0: none.
    config.discriminator.projected_width = 0

    # 'mobilefacenet', 'sface', 'iresnet18', 'iresnet34', 'iresnet50' or 'iresnet100'.
    config.identity_encoder = 'mobilefacenet'
    # A file that data_prep.port_arcface wrote; '': the shipped one (mobilefacenet only).
    config.identity_encoder_path = ''

    # Paper III-C.
    config.loss = ConfigDict()
    # 'bce', 'hinge' or 'lsgan'.
    config.loss.adversarial_kind = 'bce'
    # Eq. 11's weight of the adversarial term, eqs. 4-5.
    config.loss.adversarial_weight = 2.0
    # Of the identity term, eq. 6.
    config.loss.identity_weight = 10.0
    # Of the reconstruction term, eq. 7.
    config.loss.reconstruction_weight = 10.0
    # Of the occlusion term, eq. 8.
    config.loss.occlusion_weight = 1.0
    # Of the style term, eq. 9.
    config.loss.style_weight = 3.0
    # Of being the target where they are not, relative to that (lambda_1 of eq. 7).
    config.loss.different_reconstruction_weight = 0.1
    # Not the paper's: of the swapped face's landmarks from the target's, in squares of one per cent
    # of the crop's size; see apgan_jax/models/landmark_reader.py. 0: without.
    config.loss.landmark_weight = 0.0
    # A file that data_prep.train_landmark_reader wrote; '': the shipped one.
    config.loss.landmark_reader_path = ''
    # Of these no term is the paper's. What the landmarks of lids, irises and lips count, others 1.
    config.loss.eyes_and_lips_weight = 1.0
    # Cosine at which the identity term ends; 1: nowhere, eq. 6.
    config.loss.identity_margin = 1.0
    # Rows above and columns at each side, of ArcFace's 112, that the identity term does not see.
    config.loss.identity_view = (0, 0)
    # Of the mean squared error where a real photo of what is asked for exists: pairs of one photo,
    # of one person, and reversed ones.
    config.loss.truth_weight = 0.0
    # How much more eyes, nose bridge and mouth count in it.
    config.loss.feature_weight = 0.0
    # Of the generator's mask from the face's outline, less what is before the face.
    config.loss.mask_weight = 0.0
    # Of the mask itself: what is covered must earn it.
    config.loss.mask_cost_weight = 0.0
    # Of the difference between two frames of one photo, a few pixels apart.
    config.loss.shift_weight = 0.0

    # What changes on the way: ((step, value), …), linear between, constant before and after; ():
    # what the field of that name says.
    config.course = ConfigDict()
    # Of the adversarial term.
    config.course.adversarial_weight = ()
    # Of the identity term.
    config.course.identity_weight = ()
    # Of the reconstruction term.
    config.course.reconstruction_weight = ()
    # Of the occlusion term.
    config.course.occlusion_weight = ()
    # Of the style term.
    config.course.style_weight = ()
    # Of the landmark term, which `loss.landmark_weight` must ask for.
    config.course.landmark_weight = ()
    # Of the truth term.
    config.course.truth_weight = ()
    # Of the mask term.
    config.course.mask_weight = ()
    # Of the mask's cost.
    config.course.mask_cost_weight = ()
    # Instead of the constant part; warm-up and decay are factors of it.
    config.course.generator_learning_rate = ()
    # The same of the discriminator.
    config.course.discriminator_learning_rate = ()

    # Adam for both networks.
    config.optimizer = ConfigDict()
    # Between warm-up and decay.
    config.optimizer.generator_learning_rate = 1e-4
    # Between warm-up and decay.
    config.optimizer.discriminator_learning_rate = 4e-4
    # Adam's decay of the first moment; the paper's.
    config.optimizer.beta1 = 0.0
    # Of the second moment. The paper prints 0, which makes Adam a sign method.
    config.optimizer.beta2 = 0.999
    # Steps in which learning rates rise from 0; 0: none.
    config.optimizer.warmup_steps = 0
    # Steps of the final cosine decay to 0; 0: none.
    config.optimizer.decay_steps = 0
    # Of the generator's moving average, which is what is evaluated and exported.
    config.optimizer.ema_decay = 0.999

    # Which pairs there are, and how they are read.
    config.data = ConfigDict()
    # Part of the pairs whose source is the target's photo.
    config.data.same_image_share = 0.2
    # Part of the pairs whose source is another photo of the same person; the others show different
    # people, as far as there are labels.
    config.data.same_identity_share = 0.0
    # Not the paper's: part of the pairs whose target was swapped to somebody else before, by
    # `python -m data_prep.reverse`; the source is another photo of its person, the truth the photo.
    config.data.reverse_share = 0.0
    # Their data set.
    config.data.reverse_dir = ''
    # Part of the targets that are drawn from heads turned by 25 degrees and more, beside those that
    # come by chance.
    config.data.turned_share = 0.0
    # Part of the targets that something is painted on, which the swapped picture must show.
    config.data.occluder_share = 0.0
    # Whether source and target are mirrored at random, each for itself.
    config.data.mirror = True
    # How far a source is changed at most, to both sides; 0: not at all.
    config.data.source_jitter = ConfigDict()
    # Of the values' factor, relative.
    config.data.source_jitter.brightness = 0.0
    # Of the distance from the picture's mean luma, relative.
    config.data.source_jitter.contrast = 0.0
    # Of the distance from grey, relative.
    config.data.source_jitter.saturation = 0.0
    # About the picture's centre, degrees.
    config.data.source_jitter.rotation = 0.0
    # Of the size, relative.
    config.data.source_jitter.scale = 0.0
    # In each direction, a part of the picture's size.
    config.data.source_jitter.shift = 0.0
    # Corrupt records are skipped; more than this part of those read stops the run.
    config.data.max_corrupt_share = 0.01
    # Sources whose identity embeddings are kept, 7 KB each, for a CPU not to make them again; a
    # photo and its mirror image are two. 0: none.
    config.data.cached_sources = 0
    # Threads that read and decode, in each process.
    config.data.num_threads = 1
    # Pairs held ready, rounded up to batches.
    config.data.prefetch = 64

    # How devices share the work; the product of both is their number.
    config.mesh = ConfigDict()
    # Ways that a batch is split; -1: what is left of the devices.
    config.mesh.data = -1
    # Ways that the batch and the state are split.
    config.mesh.fsdp = 1

    # For several processes where JAX does not recognise the cluster. Cloud TPU, GKE, SLURM and Open
    # MPI need none of them.
    config.distributed = ConfigDict()
    # host:port of process 0; '': left to the cluster's environment.
    config.distributed.coordinator_address = ''
    # How many processes there are; 0: left to the environment.
    config.distributed.num_processes = 0
    # Number of this process, from 0; -1: left to the environment.
    config.distributed.process_id = -1

    # A bundle whose weights a new run starts from; '': random ones. See
    # apgan_jax/training/warm_start.py.
    config.init_from = ''
    # The discriminator's file; '': NAME.discriminator.safetensors beside the bundle, if there;
    # 'none': random weights.
    config.init_discriminator_from = ''

    # While training goes on.
    config.evaluation = ConfigDict()
    # Steps between evaluations with the averaged weights, pictures included; 0: none.
    config.evaluation.every = 1_000
    # A data set of people that training does not see; '': fixed pairs of data_dir, called so.
    config.evaluation.data_dir = ''
    # Pairs of different people, always the same ones.
    config.evaluation.num_pairs = 64
    # Of those pairs, how many are drawn.
    config.evaluation.num_pictures = 8

    # What the log's speed is compared with.
    config.watch = ConfigDict()
    # Of one device, which utilisation is a share of; 0: the known ones' own, none on a CPU.
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
