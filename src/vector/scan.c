/* SPDX-License-Identifier: Apache-2.0 */
/* One plain loop, compiled once for each instruction set worth having; compilers turn it into
 * widening multiply-adds. The choice is made at run time, so one program serves any processor.
 * Done by hand because target_clones' resolvers run before the sanitizers are set up. */
#include "vector/scan.h"

#include <math.h>

size_t scan_stride(size_t dims)
{
        return (dims + SCAN_PAD - 1) / SCAN_PAD * SCAN_PAD;
}

static inline __attribute__((always_inline)) void scan_with(const int8_t *restrict rows,
                                                            size_t count, size_t stride,
                                                            const int16_t *restrict query,
                                                            int32_t *restrict out)
{
        size_t length = stride / SCAN_PAD * SCAN_PAD; /* tells the compiler that there is no tail */

        for (size_t r = 0; r < count; r++) {
                const int8_t *row = rows + r * stride;
                int32_t sum = 0;

                for (size_t i = 0; i < length; i++)
                        sum += (int32_t)row[i] * (int32_t)query[i];
                out[r] = sum;
        }
}

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512bw,avx512vl"))) static void
scan_avx512(const int8_t *rows, size_t count, size_t stride, const int16_t *query, int32_t *out)
{
        scan_with(rows, count, stride, query, out);
}

__attribute__((target("avx2"))) static void
scan_avx2(const int8_t *rows, size_t count, size_t stride, const int16_t *query, int32_t *out)
{
        scan_with(rows, count, stride, query, out);
}

void scan_rows(const int8_t *rows, size_t count, size_t stride, const int16_t *query, int32_t *out)
{
        if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
                scan_avx512(rows, count, stride, query, out);
        else if (__builtin_cpu_supports("avx2"))
                scan_avx2(rows, count, stride, query, out);
        else
                scan_with(rows, count, stride, query, out);
}
#else
void scan_rows(const int8_t *rows, size_t count, size_t stride, const int16_t *query, int32_t *out)
{
        scan_with(rows, count, stride, query, out);
}
#endif

static float scale_for(const float *values, size_t dims, float top)
{
        float largest = 0;

        for (size_t i = 0; i < dims; i++)
                largest = fmaxf(largest, fabsf(values[i]));
        return largest > 1e-30f ? largest / top : 1;
}

void scan_quantise(const float *values, size_t dims, size_t stride, int8_t *out, float *ret_scale,
                   float *ret_error)
{
        float scale = scale_for(values, dims, 127), sum = 0;

        for (size_t i = 0; i < stride; i++) {
                float value = i < dims ? values[i] : 0, integer = nearbyintf(value / scale);
                float rest = value - scale * integer;

                out[i] = (int8_t)integer;
                sum += rest * rest;
        }
        *ret_scale = scale;
        *ret_error = sqrtf(sum);
}

void scan_quantise_query(const float *values, size_t dims, size_t stride, int16_t *out,
                         float *ret_scale, float *ret_error)
{
        float scale = scale_for(values, dims, SCAN_QUERY_MAX), sum = 0;

        for (size_t i = 0; i < stride; i++) {
                float value = i < dims ? values[i] : 0, integer = nearbyintf(value / scale);
                float rest = value - scale * integer;

                out[i] = (int16_t)integer;
                sum += rest * rest;
        }
        *ret_scale = scale;
        *ret_error = sqrtf(sum);
}

float scan_dot(const float *a, const float *b, size_t dims)
{
        enum { LANES = 16 }; /* independent sums, so that the loop may run in SIMD */
        float sums[LANES] = {0}, sum = 0;
        size_t i = 0;

        for (; i + LANES <= dims; i += LANES) {
                for (size_t lane = 0; lane < LANES; lane++)
                        sums[lane] += a[i + lane] * b[i + lane];
        }
        for (; i < dims; i++)
                sum += a[i] * b[i];
        for (size_t lane = 0; lane < LANES; lane++)
                sum += sums[lane];
        return sum;
}

float scan_length(const float *values, size_t dims)
{
        return sqrtf(scan_dot(values, values, dims));
}
