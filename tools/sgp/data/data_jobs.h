/* SPDX-License-Identifier: Apache-2.0 */
/* What `sgp data` does: packing, unpacking, checking and showing data sets. command_data.c calls it with its options;
 * the room reads data through src/data and never trains. Each function prints its result, or one line about
 * each error, and returns the exit status of the program. */
#ifndef SGP_DATA_DATA_JOBS_H
#define SGP_DATA_DATA_JOBS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct data_settings {
    const char *data; /* operands */
    const char *out;
    int shards;  /* of the training set */
    int resize;  /* pixels of the short side; 0: as it is */
    int quality; /* of JPEG */
    uint64_t seed;
    int64_t limit; /* samples of each split; 0: all */
    int threads;   /* 0: one for each CPU */
    bool overwrite;
    const char *output; /* show: the PNG file */
    bool test;          /* show: of the test set, as in evaluation */
    int size;           /* show: pixels of a side */
    int batch;          /* show: pictures */
    bool augment;       /* show: of the training set, random crops and flips */
    bool quiet;
    bool help;
} data_settings_t;

int data_pack(const data_settings_t *settings);
int data_unpack(const data_settings_t *settings);
int data_index(const data_settings_t *settings);
int data_check(const data_settings_t *settings);
int data_show(const data_settings_t *settings);

#endif
