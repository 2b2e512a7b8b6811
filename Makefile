PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo demo-liver test torture mutate lint clean interop

demo: $(VENV)/.installed  ## phantoms, pretraining, five BSFT stages, evaluation, inference
	$(BIN)/python -m scripts demo --output demo_output

demo-liver: $(VENV)/.installed  ## abdomen phantoms as DICOM, an FCN, evaluation, inference
	$(BIN)/python -m scripts demo liver --output demo_liver_output

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 --dist worksteal

torture: $(VENV)/.installed  ## kills, full disks, damaged files; about a quarter of an hour, not in CI
	$(BIN)/python -m tests.torture --seed $(or $(SEED),0)

interop: $(VENV)/.installed  ## both packages in MONAI Label and MONAI Deploy, DICOM objects in dcmqi and plastimatch
	$(BIN)/python -W ignore -m tests.interop.run

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

mutate: $(VENV)/.mutation  ## small faults in the core modules, which their tests must notice
	$(BIN)/python -m tests.mutation $(MUTANTS)

.venv: $(VENV)/.installed

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[test]' -c constraints.txt
	touch $@

$(VENV)/.mutation: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e '.[test,mutation]' -c constraints.txt
	touch $@

clean:
	rm -rf $(VENV) .venv-interop interop_output mutants demo_output demo_liver_output *.egg-info .pytest_cache .mypy_cache .ruff_cache
