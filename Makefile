# make demo | test | check | clean: each first sets up what it needs, in .venv and nowhere else.

PYTHON := python3.11 python3.12 python3.13 python3
BIN := .venv/bin
INSTALLED := .venv/installed

# A virtual screen where there is no real one; macOS always has one.
SCREEN := $(if $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname)),,xvfb-run -a -s "-screen 0 1280x720x24")

# What Qt and OpenGL need on Debian and Ubuntu (libglib2.0-bin stands for libglib2.0, whose name differs by release).
LIBRARIES := libdbus-1-3 libegl1 libfontconfig1 libgl1 libgl1-mesa-dri libglib2.0-bin libgssapi-krb5-2 \
	libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 \
	libxkbcommon-x11-0 $(if $(SCREEN),xvfb xauth)

.PHONY: demo test test-pyside check docs clean libraries

demo: $(INSTALLED)  ## open napari on an analysed sample; without a display, write its pictures into demo-output/
	$(SCREEN) $(BIN)/napari-uml demo $(if $(SCREEN),--output demo-output --overwrite)

test: $(INSTALLED)
	$(SCREEN) $(BIN)/pytest

test-pyside: $(INSTALLED)  ## the widget tests on the other Qt binding
	QT_API=pyside6 PYTEST_QT_API=pyside6 $(SCREEN) $(BIN)/pytest tests/widgets

check: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/npe2 validate napari-uml --imports
	$(BIN)/typos

docs: $(INSTALLED)
	$(BIN)/pip install --quiet --editable ".[docs]"
	$(BIN)/mkdocs build --strict --site-dir build/site

clean:  ## what the other targets wrote, but for .venv
	rm -rf build dist demo-output .mypy_cache .pytest_cache .ruff_cache .coverage
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml | libraries
	@for python in $(PYTHON); do \
		$$python -c "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null && break; \
	done || { echo "Expected Python 3.11 or newer with venv, found none. On Debian: apt-get install python3-venv"; exit 1; }; \
	echo "$$python -m venv .venv"; $$python -m venv .venv
	$(BIN)/pip install --editable ".[dev]"
	touch $@

libraries:
	@command -v dpkg >/dev/null || exit 0; \
	missing=$$(for name in $(LIBRARIES); do dpkg -s $$name 2>/dev/null | grep -q "^Status:.* installed" || echo $$name; done); \
	[ -n "$$missing" ] || exit 0; \
	install="apt-get install --yes --no-install-recommends $$(echo $$missing)"; \
	if [ "$$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo=sudo; \
	else echo "System libraries are missing. Please run this line, then make again:"; echo "  sudo $$install"; exit 1; fi; \
	$$sudo apt-get update --quiet && $$sudo $$install
