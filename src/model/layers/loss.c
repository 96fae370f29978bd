/* SPDX-License-Identifier: Apache-2.0 */
#include "model/layers/loss.h"

#include <math.h>
#include <string.h>

static int index_of_largest(int classes, const float *logits) {
    int best = 0;
    for (int j = 1; j < classes; j++)
        if (logits[j] > logits[best]) best = j;
    return best;
}

/* One sample. The largest logit is subtracted first, so that no exponential overflows. */
static double sample_loss(int classes, const float *logits, int label, float largest,
                          float *d_logits, double share) {
    double sum = 0.0;
    for (int j = 0; j < classes; j++) sum += exp((double)logits[j] - (double)largest);
    for (int j = 0; d_logits && j < classes; j++) {
        double probability = exp((double)logits[j] - (double)largest) / sum;
        d_logits[j] = (float)((probability - (j == label ? 1.0 : 0.0)) * share);
    }
    return log(sum) - ((double)logits[label] - (double)largest);
}

void loss_softmax(int count, int valid, int classes, const float *logits, const int32_t *labels,
                  float *d_logits, model_result_t *result) {
    *result = (model_result_t){0};
    for (int i = 0; i < valid; i++) {
        const float *row = logits + (size_t)i * (size_t)classes;
        int best = index_of_largest(classes, row);
        result->loss_sum += sample_loss(classes, row, labels[i], row[best],
                                        d_logits ? d_logits + (size_t)i * (size_t)classes : NULL,
                                        1.0 / (double)valid);
        result->correct += best == labels[i];
    }
    size_t done = (size_t)valid * (size_t)classes, all = (size_t)count * (size_t)classes;
    if (d_logits) memset(d_logits + done, 0, (all - done) * sizeof(float));
}
