/* SPDX-License-Identifier: Apache-2.0 */
/* The run's directory. */
#ifndef SGP_OUTPUT_H
#define SGP_OUTPUT_H

#include <stdbool.h>

enum { OUTPUT_PATH = 4096 };

/* A name that is not taken: runs/MODEL-ALGORITHM-TIME. */
void output_name(const char *model, const char *algorithm, char path[OUTPUT_PATH]);

/* Makes the directory with all above it, and tries to write there. Returns false after a line about
 * what is wrong. */
bool output_prepare(const char *path);

#endif
