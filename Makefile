# Each target makes its own virtual environment and installs what it needs. The tested
# set is constraints.txt; our own package is built by the setuptools of that set.
PYTHON ?= python3
OLDEST_PYTHON ?= $(shell for python in python3.10 ~/.pyenv/versions/3.10.*/bin/python \
	python3.11 python3.12 $(PYTHON); do $$python -c "" 2> /dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
UV := .venv-uv/bin/uv
DEMO := train.py hparams/iemocap_to_emodb.yaml --demo=True

.PHONY: demo test starter coverage docs lowest lowest-demo newest constraints lint audit clean

demo: $(VENV)/.demo
	cd recipes/en_de && ../../$(BIN)/python $(DEMO)

# Two modules of tests at a time; each is run by one process, as its fixtures are costly.
test: lint
	$(BIN)/python -m pytest -n 2 --dist=loadfile -m "not slow"

# Counting lines costs half as much again, and refuses nothing.
coverage: $(VENV)/.dev
	$(BIN)/python -m pytest --cov --cov-report=term -m "not slow"

# The site, into build/docs; a link that leads nowhere is an error.
docs: $(VENV)/.dev
	$(BIN)/python -m sphinx -q -W --keep-going -c docs . build/docs

# The model that comes with the package, and what is to be expected of it, from the corpora
# (CORPORA=DIR); OPTIONS as --encoder_source=DIR go to every run.
STARTER := --data_root=$(CORPORA) --results=results/starter --allow_incomplete=True --splits=speaker $(OPTIONS)
STARTER_RUN := results/starter/ravdess_to_ased/robust_everything/whisper/1
starter: $(VENV)/.dev
	cd recipes && ../$(BIN)/xser grid leave_one_out/robust.yaml --systems robust $(STARTER)
	cd recipes && ../$(BIN)/xser train leave_one_out/hparams/leave_one_out.yaml $(STARTER) \
		--corpora=[ravdess,emodb,urdu,nemo,ased] --target=ased --encoder=whisper \
		--system=robust_everything
	cd recipes && ../$(BIN)/python -m xser_brain.starter $(STARTER_RUN) results/starter

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(VENV)/.demo $(VENV)/.dev: $(VENV)/.%: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt setuptools
	$(BIN)/pip install -q -c constraints.txt --no-build-isolation -e ".[$*]"
	touch $@

# What looks unsafe in our code, and known flaws of the tested set: the latter asks an
# advisory service, so that it needs the Internet.
audit:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install -q bandit pip-audit
	.venv-audit/bin/bandit -q -r data_prep xser_brain
	.venv-audit/bin/pip-audit --no-deps --disable-pip -r constraints.txt

# The lowest versions that setup.py admits, on the oldest Python.
lowest: lowest-demo
	.venv-lowest/bin/python -m pytest -m "not slow"

lowest-demo: $(UV)
	$(OLDEST_PYTHON) -m venv --clear .venv-lowest
	$(UV) pip install -q --python .venv-lowest/bin/python --resolution lowest-direct -e ".[dev]"
	cd recipes/en_de && ../../.venv-lowest/bin/python $(DEMO) --results=results/lowest --overwrite=True

# The newest of the registry that setup.py admits; then without its caps, which tells
# whether they are still needed.
newest: $(UV)
	$(PYTHON) -m venv --clear .venv-newest
	$(UV) pip install -q --python .venv-newest/bin/python --upgrade -e ".[demo]"
	cd recipes/en_de && ../../.venv-newest/bin/python $(DEMO) --results=results/newest --overwrite=True
	mkdir .venv-newest/uncapped
	ln -s $(addprefix ../../,LICENSE README.md data_prep pyproject.toml recipes xser_brain) \
		.venv-newest/uncapped
	sed -E 's/,<[^"]+"/"/' setup.py > .venv-newest/uncapped/setup.py
	$(UV) pip install -q --python .venv-newest/bin/python --upgrade -e ".venv-newest/uncapped[demo]"
	$(UV) pip list -q --python .venv-newest/bin/python
	if (cd recipes/en_de && ../../.venv-newest/bin/python $(DEMO) --results=results/uncapped --overwrite=True); \
		then echo "The caps of setup.py can go."; else echo "The caps of setup.py are needed."; fi

constraints: $(UV)
	printf 'setuptools\nuv\n' | $(UV) pip compile -q setup.py - --all-extras --universal \
		--python-version 3.10 --upgrade --no-annotate \
		--custom-compile-command "make constraints" -o constraints.txt

$(UV): constraints.txt
	$(PYTHON) -m venv .venv-uv
	.venv-uv/bin/pip install -q -c constraints.txt uv
	touch $@

clean:
	rm -rf $(VENV) .venv-uv .venv-lowest .venv-newest .venv-audit build/docs
