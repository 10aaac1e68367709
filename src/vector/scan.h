/* SPDX-License-Identifier: Apache-2.0 */
/* Dot products over rows of vectors, in the widest SIMD form that the processor has.
 *
 * A vector is kept twice: as floats, and as 8-bit integers with a scale. The integers give a score
 * within a known distance of the true one (SCAN error below) from a quarter of the memory; floats
 * decide among the few rows that the distance leaves open. So a scan is exact and reads little. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Integer rows are padded with zeros to a multiple of this. */
enum { SCAN_PAD = 64 };

/* The largest 16-bit value of a query: keeps sums within 32 bits up to 8192 dimensions. */
enum { SCAN_QUERY_MAX = 2047 };

size_t scan_stride(size_t dims);

/* out[r] = sum of row r (of `count`, `stride` bytes apart) times query. */
void scan_rows(const int8_t *rows, size_t count, size_t stride, const int16_t *query, int32_t *out);

/* Fills `stride` integers; *ret_error is the length of (values - scale * integers). */
void scan_quantise(const float *values, size_t dims, size_t stride, int8_t *out, float *ret_scale,
                   float *ret_error);
void scan_quantise_query(const float *values, size_t dims, size_t stride, int16_t *out,
                         float *ret_scale, float *ret_error);

float scan_dot(const float *a, const float *b, size_t dims);
float scan_length(const float *values, size_t dims);
