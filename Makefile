# Each target sets up what it needs under .venv, once; it is made anew when a lock or pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := tests/data/demo
SOURCES := invoke:functions/runtime:functions/sep_extract:functions/fits_summary:functions/transits:functions/watcher
OUTPUT ?= demo-output

# Images of containers often forbid Python to keep what it has compiled; the tests start thousands of processes.
unexport PYTHONDONTWRITEBYTECODE

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test lint unit mutants fuzz fuzz-guided generated docs template bench soak sam sbom audit lambda lock \
  clean

help:  ## this list
	@awk -F ':.*##' '/^[a-z-]+:.*##/ { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.run  ## real Hubble cut-outs through the local engine, from a plan to one catalog and its bill
	$(call skyfan,plan $(DEMO) --to $(OUTPUT)/plan.parquet)
	$(call skyfan,run $(OUTPUT)/plan.parquet --output $(OUTPUT) --run demo --outputs preview)
	$(call skyfan,status demo --output $(OUTPUT))
	$(call skyfan,collect demo --output $(OUTPUT))
	$(call skyfan,search demo --output $(OUTPUT) --around "6.0304 -72.0813" --radius 0.5s)
	$(call skyfan,costs demo --output $(OUTPUT))
	$(call skyfan,report demo --output $(OUTPUT))
	@for image in abell2744_f105w_drz.fits j8bt06nyq_flt.fits; do $(BIN)/skyfan show $(DEMO)/$$image \
	  --run demo --output $(OUTPUT) --to $(OUTPUT)/$$image.png || exit 1; done
	@printf '\nThe whole story is on one page; open it in a browser:\n  file://%s\n' "$(abspath $(OUTPUT))/runs/demo/report.html"
# Each command is shown as a person would type it, then run.
skyfan = @mkdir -p $(OUTPUT) && printf '\n$$ skyfan %s\n' '$(1)' && $(BIN)/skyfan $(1)

test: lint unit  ## what a change must pass: ruff, mypy and the default tests

lint: $(VENV)/.dev  ## ruff, mypy, and the layers of the code
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@PYTHONPATH=$(SOURCES) $(BIN)/lint-imports
	@$(BIN)/python build/structure.py --check

# By file, because fixtures of a module are then made once. PYTEST takes more options: PYTEST="-p randomly".
unit: $(VENV)/.dev
	@$(BIN)/pytest --numprocesses $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist loadfile $(PYTEST)  # many tests wait

# By hand, for it takes its time. SAMPLE=all makes every change; GROUPS="bill runs" takes only these.
mutants: $(VENV)/.dev  ## changes in the code that no test notices: a sample of SAMPLE=40 per group, SEED=0
	@$(BIN)/python build/mutants.py $(GROUPS) --sample $(or $(SAMPLE),40) --seed $(or $(SEED),0)

# A find is printed with the recipe that reproduces it, and is kept in fuzz-finds/.
fuzz: $(VENV)/.dev  ## the handler on N=10000 mutated FITS files, SEED=1, each within limits of time and memory
	@PYTHONPATH=tests:benchmarks:$(SOURCES) $(BIN)/python -m fuzz $(or $(N),10000) --seed $(or $(SEED),1)

# SECONDS for all four together.
fuzz-guided: $(VENV)/.dev  ## readers of headers, events, logs and receipts, for SECONDS=1800, driven to lines not yet run
	@PYTHONPATH=tests:benchmarks:$(SOURCES) $(BIN)/python -m fuzz.guided $(or $(SECONDS),1800) $(or $(SEED),1)

sam: $(VENV)/sam/.made  ## SAM CLI as .venv/sam/bin/sam; apart, for it wants an older click than skyfan does

lambda: $(VENV)/.dev $(VENV)/sam/.made  ## the stack built and run by SAM, and the science on what was built (needs Docker)
	@$(BIN)/pytest -m lambda --numprocesses 2 --dist loadfile --durations=10

generated: $(VENV)/.dev  ## the generated parts of the documentation's pages
	@$(BIN)/python build/docs.py

# LINKCHECK=1 requests the links to other sites, too.
docs: generated $(VENV)/docs/.skyfan  ## the documentation site in docs/_build/html; its tutorials run, offline
	@cd docs && ../$(VENV)/docs/bin/sphinx-build --fail-on-warning --keep-going --quiet --builder html . _build/html
	@$(BIN)/python build/links.py docs/_build/html $(if $(LINKCHECK),--external)
	@echo "docs/_build/html/index.html"

template: $(VENV)/.dev  ## the parts of template.yaml that follow from Metadata.Functions
	@$(BIN)/python build/template.py

sbom: $(VENV)/.dev $(VENV)/sbom/.made  ## bills of materials (CycloneDX) of the wheel and the layers, in sbom/
	@$(BIN)/python build/sbom.py sbom

audit: $(VENV)/.dev $(VENV)/audit/.made  ## known vulnerabilities of all locked packages, by pip-audit; exit code 1 if any
	@$(BIN)/python build/audit.py

bench: $(VENV)/.dev  ## every figure of docs/benchmarks.md, measured on this machine
	@for b in benchmarks/*/__main__.py; do echo "== $$b"; $(BIN)/python "$${b%/*}" || exit 1; done

soak: $(VENV)/.dev  ## N=20000 small images and EVENTS=5000 events through kills and faults; part of bench
	@$(BIN)/python benchmarks/soak $(or $(N),20000) --events $(or $(EVENTS),5000) --seed $(or $(SEED),0)

# The machine's pip serves an environment that has none: Debian's python3 without python3-venv cannot make one with pip.
define venv
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	  "skyfan needs Python 3.11 to 3.13; $(PYTHON) is %d.%d. Try: make PYTHON=python3.12" % v)'
	@test -x $(1)/bin/python || $(PYTHON) -m venv $(1) >/dev/null 2>&1 \
	  || $(PYTHON) -m venv --clear --without-pip $(1)
endef
pip = if $(1)/bin/python -m pip --version >/dev/null 2>&1; then p="$(1)/bin/python -m pip"; \
  else p="$(PYTHON) -m pip --python $(1)/bin/python"; fi; $$p --disable-pip-version-check install --quiet --quiet
hashed = --require-hashes --only-binary :all: -r
# uv takes seconds where pip takes minutes, but does not read pip.conf: pip has its turn where uv fails. Its part of
# pyproject.toml is for the lock: a constraint without a hash.
uv = $(BIN)/uv --no-config pip install --quiet --quiet --python $(1)/bin/python
install = { $(call uv,$(1)) $(2) || { echo "uv cannot install here; pip can, in minutes" && $(call pip,$(1)) $(2); }; }
editable = $(call install,$(VENV),--no-deps --no-build-isolation --editable .)

$(VENV)/.uv: requirements/lock.txt
	$(call venv,$(VENV))
	@$(call pip,$(VENV)) $(hashed) requirements/lock.txt
	@touch $@

$(VENV)/.run: requirements/run.txt pyproject.toml $(VENV)/.uv
	@echo "setting up $(VENV) for the demo" && $(call install,$(VENV),$(hashed) requirements/run.txt) && $(editable)
	@touch $@

# dev.txt holds all of run.txt, so that one install serves both.
$(VENV)/.dev: requirements/dev.txt pyproject.toml $(VENV)/.uv
	@echo "setting up $(VENV) for tests" && $(call install,$(VENV),$(hashed) requirements/dev.txt) && $(editable)
	@touch $(VENV)/.run $@

# Programs that want other versions than skyfan does, each in an environment of its own: SAM an older click, checkov a
# boto3 that is years older than moto's, the AWS CLI its own docutils; nor do tests need those of sbom and audit. Each lock holds everything, so nothing is added.
$(VENV)/%/.made: requirements/%.txt $(VENV)/.uv
	$(call venv,$(VENV)/$*)
	@echo "setting up $(VENV) for $*" && $(call install,$(VENV)/$*,$(hashed) requirements/$*.txt --no-deps)
	@touch $@

$(VENV)/docs/.skyfan: $(VENV)/docs/.made pyproject.toml
	@$(call install,$(VENV)/docs,--no-deps --no-build-isolation --editable .)
	@touch $@

LEAST := 3.11
# dev first: it is the larger problem, and run.txt is then a part of its answer. The demo draws pictures with axes.
compile = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version $(LEAST) --fork-strategy fewest \
  --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links
lock: $(VENV)/.uv  ## new versions of everything, with hashes, for Python 3.11 to 3.13 on Linux and macOS
	@$(compile) pyproject.toml requirements/build.in --extra all --extra test --extra lint --output-file requirements/dev.txt
	@$(compile) pyproject.toml requirements/build.in --extra plot --constraint requirements/dev.txt --output-file requirements/run.txt
	@$(compile) requirements/lock.in --output-file requirements/lock.txt
	@$(compile) requirements/sam.in --output-file requirements/sam.txt
	@$(compile) requirements/checkov.in --output-file requirements/checkov.txt
	@$(compile) pyproject.toml requirements/docs.in requirements/build.in --extra all --extra sam \
	  --constraint requirements/dev.txt --output-file requirements/docs.txt
	@$(compile) requirements/awscli.in --output-file requirements/awscli.txt
	@$(compile) requirements/sbom.in --output-file requirements/sbom.txt
	@$(compile) requirements/audit.in --output-file requirements/audit.txt
	@$(compile:$(LEAST)=3.13) requirements/lambda.in --constraint requirements/dev.txt --output-file requirements/lambda.txt
	@$(compile:$(LEAST)=3.13) layers/astro/requirements.in --constraint requirements/run.txt --output-file layers/astro/requirements.txt

clean:  ## remove the environment and everything made
	@rm -rf $(VENV) $(OUTPUT) .mypy_cache .pytest_cache .ruff_cache .hypothesis
