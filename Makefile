# A thin front for CMake and Ninja: `make help` lists the goals, docs/building.md says more.
BUILD ?= build
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 30
MAKEFLAGS += --no-print-directory

PRODUCTS := senet senet_static senet_shared manual
CONFIGURE = cmake -G Ninja -S . -B $(BUILD) $(CMAKE_FLAGS)
SOURCES = $(shell git ls-files 'src/*.[ch]' 'cli/*.[ch]' 'include/*.h' 'tests/*.[ch]' 'bench/*.[ch]' 'examples/*.c')

.PHONY: all help demo test asan tsan arm64 fuzz bench tidy format install clean
all: $(BUILD)/build.ninja
	@cmake --build $(BUILD) -j $(JOBS) --target $(PRODUCTS)

help:
	@echo "make            $(BUILD)/senet, the program, and the libraries libsenet.a and libsenet.so"
	@echo "make demo       trains two small networks, with and without SE, and shows what came of it"
	@echo "make test       the test suite"
	@echo "make asan       the test suite under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make tsan       units and kernels under ThreadSanitizer (needs clang)"
	@echo "make arm64      a build for arm64 in build-arm64, its kernels, gradients and networks tested in an emulator (Debian)"
	@echo "make fuzz       every parser against random input, FUZZ_SECONDS=$(FUZZ_SECONDS) a parser (needs clang)"
	@echo "make bench      the speed of the kernels and of whole networks on this machine"
	@echo "make tidy       clang-tidy over the library and the program"
	@echo "make format     clang-format over all sources"
	@echo "make install    to PREFIX=$(PREFIX), below DESTDIR=$(DESTDIR)"
	@echo "make clean      removes the build folders"

$(BUILD)/build.ninja:
	@command -v cmake > /dev/null && command -v ninja > /dev/null || \
	    { echo "cmake or ninja is missing; ./scripts/setup installs what it takes" >&2; exit 1; }
	@$(CONFIGURE)

demo:
	@./scripts/setup demo
	@$(MAKE) all
	@./scripts/demo $(BUILD)/senet

# Configured anew each time: what setup has just installed is to be found.
test:
	@./scripts/setup test
	@$(CONFIGURE) > /dev/null
	@cmake --build $(BUILD) -j $(JOBS)
	@ctest --test-dir $(BUILD) --output-on-failure --no-tests=error -j 2

asan tsan arm64:
	@./scripts/setup $(if $(filter arm64,$@),arm64,test)
	@cmake --preset $@ > /dev/null
	@cmake --build --preset $@ -j $(JOBS)
	@ctest --preset $@

fuzz:
	@tests/fuzz/run.sh $(FUZZ_SECONDS)

bench: $(BUILD)/build.ninja
	@cmake --build $(BUILD) -j $(JOBS) --target senet benches
	@./scripts/bench $(BUILD)

tidy: $(BUILD)/build.ninja
	@run-clang-tidy -quiet -p $(BUILD) '^$(CURDIR)/(src|cli)/.*\.c$$'

format:
	@clang-format -i $(SOURCES)

install:
	@$(MAKE) all
	@cmake -S . -B $(BUILD) -DCMAKE_INSTALL_PREFIX=$(PREFIX) > /dev/null
	@cmake --install $(BUILD)

clean:
	rm -rf $(BUILD) build-*
