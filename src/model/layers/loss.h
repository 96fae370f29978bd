/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax with cross-entropy, and label smoothing (Szegedy et al. 2016, section 7) as in
 * torch.nn.CrossEntropyLoss. */
#ifndef SGP_MODEL_LAYERS_LOSS_H
#define SGP_MODEL_LAYERS_LOSS_H

#include "model/model_types.h"

typedef struct loss {
    int count; /* samples */
    int valid; /* the first of them, which count in result and gradient; 0 <= valid <= count */
    int classes;
    double smoothing; /* 0..1, epsilon below */
} loss_t;

/* Fills in result, see model_types.h. logits: (count, classes). labels: (valid), each in
 * [0, classes). d_logits: (count, classes), the gradient of the mean loss over the valid samples,
 * zero for the others; NULL: not computed. With p = softmax(z) and the wanted probabilities
 * q_j = (1 - epsilon) [j = label] + epsilon / classes:
 * loss = log(sum_j exp(z_j)) - sum_j q_j z_j, d z_j = (p_j - q_j) / valid. */
void loss_softmax(const loss_t *loss, const float *logits, const int32_t *labels, float *d_logits,
                  model_result_t *result);

#endif
