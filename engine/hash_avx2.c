/*
 * hash_avx2.c - the hash functions with AVX2, for processors that have it.
 */
#if defined(__x86_64__)

/* Included before the instructions are turned on, so that they are turned on for xxHash's functions alone. */
#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

#define XXH_VECTOR 2 /* XXH_AVX2 */
#define HASH_METHOD hash_avx2

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#include "hash_body.h"
#pragma clang attribute pop
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#include "hash_body.h"
#pragma GCC pop_options
#endif

#else
typedef int hash_avx2_is_for_x86;
#endif
