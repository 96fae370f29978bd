/* SPDX-License-Identifier: Apache-2.0 */
/* The formats of pixel_format.h as formats of sources: all samples are in memory from the start. */
#ifndef SGP_DATA_FORMATS_PIXEL_SOURCE_H
#define SGP_DATA_FORMATS_PIXEL_SOURCE_H

#include "data/formats/source_format.h"

extern const source_format_t cifar10_source, cifar100_source, idx_source;

#endif
