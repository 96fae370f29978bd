/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax with cross-entropy. */
#ifndef SGP_MODEL_LAYERS_LOSS_H
#define SGP_MODEL_LAYERS_LOSS_H

#include "model/model_types.h"

/* Over the first `valid` of `count` samples: fills in result, see model_types.h. logits: (count,
 * classes). labels: (valid), each in [0, classes). d_logits: (count, classes), the gradient of the
 * mean loss over the valid samples, zero for the others; NULL: not computed. loss = log(sum_j
 * exp(z_j)) - z_label; d z_j = (softmax_j - [j = label]) / valid. */
void loss_softmax(int count, int valid, int classes, const float *logits, const int32_t *labels,
                  float *d_logits, model_result_t *result);

#endif
