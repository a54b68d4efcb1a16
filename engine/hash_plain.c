/*
 * hash_plain.c - the hash functions with what every machine of this architecture has: SSE2, NEON or nothing.
 */
#define HASH_METHOD hash_plain
#include "hash_body.h"
