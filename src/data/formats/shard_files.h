/* SPDX-License-Identifier: Apache-2.0 */
/* The shards of a directory, and one shard as samples. Called by shards.c and by `sgp data`. */
#ifndef SGP_DATA_FORMATS_SHARD_FILES_H
#define SGP_DATA_FORMATS_SHARD_FILES_H

#include "data/formats/names.h"
#include "data/formats/shard_index.h"
#include "data/source.h"

/* Names of classes, one per line in the order of the labels; may be missing. */
#define SHARD_CLASSES "classes.txt"

/* Appends the names of a split's shards, sorted by bytes: PREFIXtrain-DIGITS.tar or, for the test set, "val",
 * "validation" or "test" in its place, where PREFIX is empty or ends in "-", "_" or ".". Warns of a number that is
 * missing between two others. SGP_ERR_IO, SGP_ERR_NO_MEMORY, logged. */
sgp_status_t shard_files_list(const char *directory, source_split_t split, names_t *names);

/* Whether the file is a shard of the split, by its name. */
bool shard_files_is(const char *name, source_split_t split);

/* Opens directory/name. *bytes: its size. SGP_ERR_IO, SGP_ERR_FORMAT, SGP_ERR_NOT_FOUND, logged. */
sgp_status_t shard_files_open(const char *directory, const char *name, int *file, uint64_t *bytes);

/* Its samples: from its index, which must fit its size and its first header, or, without one, from the shard. *scanned:
 * whether there was no index. Errors of either are logged. Call shard_index_fini in any case. */
sgp_status_t shard_files_read(const char *directory, const char *name, shard_index_t *index,
                              bool *scanned);

/* name: "train-000000.tar"; index_name: (room) "train-000000.index". */
void shard_files_index_name(const char *name, char *index_name, size_t room);

#endif
