/* SPDX-License-Identifier: Apache-2.0 */
/* Accuracy and loss of a model file on a test set. For sgp eval. */
#ifndef SGP_RUN_EVALUATE_FILE_H
#define SGP_RUN_EVALUATE_FILE_H

#include <sgp/status.h>
#include <stdint.h>

typedef struct evaluate_file_options {
    const char *path;  /* a run's model, an average, or the checkpoint of a node */
    const char *data;  /* as source_open takes it */
    const char *model; /* NULL: as the file says */
    int batch;         /* samples at a time, > 0 */
    int image_size;    /* of pictures; 0: as the file says, else FEED_IMAGE_SIZE */
} evaluate_file_options_t;

typedef struct evaluate_file_result {
    char model[64];
    uint64_t samples;
    uint64_t left_out; /* pictures that could not be read */
    double accuracy;   /* a fraction */
    double accuracy5;  /* top-5 */
    double loss;       /* mean cross-entropy */
} evaluate_file_result_t;

/* SGP_ERR_NOT_FOUND: the file or the data cannot be read. SGP_ERR_FORMAT: damaged.
 * SGP_ERR_MISMATCH: the model is not known, not the one of options->model, or does not fit the
 * data. SGP_ERR_NO_MEMORY. Logged. *result is set only on success. */
sgp_status_t evaluate_file(const evaluate_file_options_t *options, evaluate_file_result_t *result);

#endif
