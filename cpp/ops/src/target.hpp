// Everything from TARGET_BEGIN("avx2") to TARGET_END is compiled for these instructions, whatever the file is compiled
// for.
#pragma once

#define EDGEKIT_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define TARGET_BEGIN(names) EDGEKIT_PRAGMA(clang attribute push(__attribute__((target(names))), apply_to = function))
#define TARGET_END _Pragma("clang attribute pop")
#else
#define TARGET_BEGIN(names) _Pragma("GCC push_options") EDGEKIT_PRAGMA(GCC target(names))
#define TARGET_END _Pragma("GCC pop_options")
#endif
