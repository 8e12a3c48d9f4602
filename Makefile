# make setup            what running and training need, in .venv
# make setup-dev        the same and what tests and evaluation need
# make setup-benchmark  the same and PyTorch, for the speed comparisons
# make setup-docs       the same as setup-dev and what builds the documentation
# make demo             a swapped clip and a few training steps, in out/demo
# make test             the tests that CI runs, two files at a time; test-slow: the others
# make lint             checks by ruff and mypy
# make docs             the documentation, in site/; a link that leads nowhere fails
# make clean            removes what builds, checks, docs and the demo left; distclean: .venv as well
#
# Needs Python 3.11 or 3.12; `make setup PYTHON=/path/to/python` names one. What is installed is
# installed again only after a change of setup.py or one of the two lists of versions.

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
REQUIREMENTS := setup.py constraints.txt requirements-no-deps.txt
PYTHON_CANDIDATES := $(or $(PYTHON),python3.11 python3.12 python3)
PYTEST_FLAGS ?=

.PHONY: setup setup-dev setup-benchmark setup-docs demo test test-slow lint docs clean distclean
.DEFAULT_GOAL := setup

setup: $(VENV)/.setup
setup-dev: $(VENV)/.setup-dev
setup-benchmark: $(VENV)/.setup-benchmark
setup-docs: $(VENV)/.setup-docs

demo: setup
	$(BIN)/python -m apgan_jax.demo --output out/demo

test: setup-dev
	$(BIN)/python -m pytest -m 'not slow' -n 2 --dist loadfile $(PYTEST_FLAGS)

test-slow: setup-dev
	$(BIN)/python -m pytest -m slow $(PYTEST_FLAGS)

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The variable silences Material's notice of its successor, on every build.
docs: setup-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache out site
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)

# A candidate is run, not only looked up: pyenv puts a python3.12 on PATH that starts nothing.
define FIND_PYTHON
for python in $(PYTHON_CANDIDATES); do \
  if "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; \
  then break; fi; python=; \
done; \
if [ -z "$$python" ]; then \
  echo 'setup: none of "$(PYTHON_CANDIDATES)" is Python 3.11 or 3.12; install one, or name it:' \
    'make PYTHON=/path/to/python3.11' >&2; exit 1; \
fi
endef

# The native libraries that the wheels of OpenCV and MediaPipe expect from the system. MediaPipe is
# not imported for it: it would import TensorFlow, and would load its library only at first use.
define CHECK_LIBRARIES
import ctypes, importlib.util, pathlib, sys
try:
    import cv2
    for folder in importlib.util.find_spec('mediapipe').submodule_search_locations:
        for library in pathlib.Path(folder).rglob('libmediapipe.*'):
            ctypes.CDLL(str(library))
except (ImportError, OSError) as error:
    sys.exit(f'setup: {error}; OpenCV and MediaPipe need it: '
             'apt-get install libgl1 libegl1 libgles2 libglib2.0-0')
endef
export CHECK_LIBRARIES

# pip is the last thing that venv writes, so a half-made environment is made again.
$(BIN)/pip:
	@$(FIND_PYTHON); \
	echo "$$python -m venv $(VENV)"; \
	"$$python" -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "setup: $$python cannot make a virtual environment; apt-get install python3-venv, or" \
	    'name another: make PYTHON=/path/to/python3.11' >&2; exit 1; }

$(VENV)/.setup: $(REQUIREMENTS) | $(BIN)/pip
	$(PIP_INSTALL) -e '.[data-prep]'
	$(PIP_INSTALL) --no-deps -r requirements-no-deps.txt
	@$(BIN)/python -c "$$CHECK_LIBRARIES"
	@touch $@

$(VENV)/.setup-dev: $(VENV)/.setup
	$(PIP_INSTALL) -e '.[data-prep,eval,test]'
	@touch $@

$(VENV)/.setup-docs: $(VENV)/.setup-dev
	$(PIP_INSTALL) -e '.[data-prep,eval,test,docs]'
	@touch $@

# On Linux, PyPI's torch brings several GB of CUDA libraries; the CPU build comes from wherever pip's
# own configuration (find-links or an extra index) has it, and has the same version number.
$(VENV)/.setup-benchmark: $(VENV)/.setup-dev
	$(PIP_INSTALL) -e '.[data-prep,eval,test,benchmark]'
	@touch $@
