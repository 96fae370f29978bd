/* SPDX-License-Identifier: Apache-2.0 */
/* The passes over memory of the mixing. Pointers are 64-byte aligned or not, arrays have `count`
 * elements, and the bits of the result do not depend on the instruction set. */
#ifndef SGP_MIXING_KERNELS_H
#define SGP_MIXING_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

/* z <- z + a (y - z): absorbs y, with a = v / (w + v). Equal z and y keep their bits. */
void sgp_absorb(size_t count, float *z, const float *y, float a);

/* z <- z + a y */
void sgp_add_scaled(size_t count, float *z, const float *y, float a);

/* d <- (a - b) / 2; a <- a - d: a becomes the mean of both, and so does b when it adds d. */
void sgp_average_pair(size_t count, float *a, const float *b, float *d);

/* sum <- a + b */
void sgp_add(size_t count, float *sum, const float *a, const float *b);

/* x <- s x */
void sgp_scale(size_t count, float *x, float s);

/* sums <- sums + w x, in double */
void sgp_accumulate(size_t count, double *sums, const float *x, double w);

/* mean <- sums / w */
void sgp_divide(size_t count, float *mean, const double *sums, double w);

/* to <- from. false: an element is an infinity or a NaN. */
bool sgp_copy_finite(size_t count, float *to, const float *from);

/* The same into the memory of a message, by non-temporal stores (base/stream.h) or not. */
bool sgp_copy_out(size_t count, float *to, const float *from, bool non_temporal);

/* Whether no element is an infinity or a NaN. */
bool sgp_is_finite(size_t count, const float *x);

/* The largest |a - b|; numbers that are not finite may give anything. */
float sgp_largest_change(size_t count, const float *a, const float *b);

/* Sum of (a - b)^2 and of b^2, in double. */
void sgp_distance(size_t count, const float *a, const float *b, double *distance, double *norm);

#endif
