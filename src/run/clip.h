/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients of a bounded norm (--clip-norm), after Pascanu et al. 2013, arXiv 1211.5063. Called by the step. Pure. */
#ifndef SGP_RUN_CLIP_H
#define SGP_RUN_CLIP_H

#include <stddef.h>

/* The Euclidean norm. The sum of squares is taken in double, in an order that depends on count alone. Not finite exactly where
 * an element is not. */
double clip_norm(const float *gradient /* (count) */, size_t count);

/* Scales the gradient to norm `most`, > 0, if its norm is above that. One with an element that is not finite stays as it is, to
 * be refused by the step. Returns the norm before. */
double clip_gradient(float *gradient /* (count) */, size_t count, double most);

#endif
