# compiler.cmake - the language, the warnings, the floating-point rules, the sanitizers: the same for every target.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # gnu11: vector extensions, 128-bit products
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug, RelWithDebInfo" FORCE)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O3") # assertions stay on: they cost nothing beside the kernels

# Strict floating point: no contraction behind our back (the vector kernels ask for FMA themselves).
add_compile_options(-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
                    -Wno-missing-field-initializers -fvisibility=hidden -ffp-contract=off)
if(SENET_WERROR)
  add_compile_options(-Werror)
endif()

if(SENET_SANITIZE)
  set(SENET_SANITIZE_FLAGS -fsanitize=${SENET_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_compile_options(${SENET_SANITIZE_FLAGS})
  add_link_options(${SENET_SANITIZE_FLAGS})
endif()
