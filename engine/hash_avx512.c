/*
 * hash_avx512.c - the hash functions with AVX-512, for processors that have it.
 */
#if defined(__x86_64__)

/* Included before the instructions are turned on, so that they are turned on for xxHash's functions alone. */
#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

#define XXH_VECTOR 3 /* XXH_AVX512 */
#define HASH_METHOD hash_avx512

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#include "hash_body.h"
#pragma clang attribute pop
#else
#pragma GCC push_options
#pragma GCC target("avx512f")
#include "hash_body.h"
#pragma GCC pop_options
#endif

#else
typedef int hash_avx512_is_for_x86;
#endif
