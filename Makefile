# The two commands of README, on Linux with make and the packages that APT and TEST_APT below name.
#   make demo   installs into .venv, captures the shipped clip, shows where everything is
#   make test   installs the test tools too, then lint, types and tests
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out/demo
APT := sudo apt-get install -y $(notdir $(PYTHON))-venv libgl1 libglib2.0-0
TEST_APT := sudo apt-get install -y libxrender1 libxi6 libxkbcommon0 libsm6 libegl1 libgl1-mesa-dri

.PHONY: demo test bench clean

demo: $(VENV)/live.stamp
	$(BIN)/mocap file mocap/assets/demo.mp4 --out $(OUT) --export npz bvh --overlay $(OUT)/overlay.mp4 \
	  --osc.port 9100 --vmc.port 39539
	@echo
	@echo "overlay  $(OUT)/overlay.mp4   (look at this first)"
	@echo "BVH      $(OUT)/*.bvh         (Blender: File > Import > Motion Capture)"
	@echo "next, with a webcam:  $(BIN)/mocap cameras"
	@echo "                      $(BIN)/mocap live --mirror --preview"

test: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pip check
	OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile

bench: $(VENV)/live.stamp
	$(BIN)/mocap bench

# torch exactly, so that every set-up gets the build that was measured. On Linux PyPI's wheel brings CUDA's libraries;
# README says how to take the smaller one for the CPU.
$(VENV)/live.stamp: pyproject.toml
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || { \
	  echo "error: expected $(PYTHON) with venv, found none; on Debian and Ubuntu: $(APT)" >&2; \
	  echo "       (another Python from 3.10 to 3.12: make PYTHON=python3.12)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q torch==2.13.0
	$(BIN)/pip install -q -e .
	@found=$$($(BIN)/python -c "import cv2" 2>&1) || { \
	  echo "error: OpenCV does not load: $$(echo "$$found" | tail -n 1)" >&2; \
	  echo "       It needs libraries of the system; on Debian and Ubuntu: $(APT)" >&2; exit 1; }
	touch $@

$(VENV)/test.stamp: $(VENV)/live.stamp
	$(BIN)/pip install -q -e ".[train,test]"
	@found=$$($(BIN)/python -c "import importlib.util as u; u.find_spec('bpy') and __import__('bpy')" 2>&1) || { \
	  echo "error: Blender (bpy) does not load: $$(echo "$$found" | tail -n 1)" >&2; \
	  echo "       It needs libraries of the system; on Debian and Ubuntu: $(TEST_APT)" >&2; exit 1; }
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
