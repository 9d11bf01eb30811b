# The two commands of README, from a bare Linux machine with python3.11 and make.
#   make demo   installs into .venv, captures the shipped clip, shows where everything is
#   make test   installs the test tools too, then lint, types and tests
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out/demo

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
	$(BIN)/pytest

bench: $(VENV)/live.stamp
	$(BIN)/mocap bench

# torch first and exactly: a looser requirement lets pip take a newer build, on Linux with gigabytes of CUDA.
$(VENV)/live.stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q torch==2.13.0
	$(BIN)/pip install -q -e .
	touch $@

$(VENV)/test.stamp: $(VENV)/live.stamp
	$(BIN)/pip install -q -e ".[train,test]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
