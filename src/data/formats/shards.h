/* SPDX-License-Identifier: Apache-2.0 */
/* Shards (shard_index.h) as a source: train-000000.tar, ... and val-000000.tar, ... beside their indexes, and
 * classes.txt. Without an index the headers of the shard are read when it is opened, which a warning says; without
 * classes.txt classes are called by their numbers. Samples are those of shard after shard in the order of their names. A
 * sample takes 14 bytes of memory. A shard stays open once it was read, as long as the process may
 * open twice as many files: on a network file system opening one takes longer than reading a picture. Each of the others
 * is opened for each read. */
#ifndef SGP_DATA_FORMATS_SHARDS_H
#define SGP_DATA_FORMATS_SHARDS_H

#include "data/formats/source_format.h"

extern const source_format_t shards_format;

#endif
