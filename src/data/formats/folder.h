/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of pictures by class, as torchvision's ImageFolder reads it: train/CLASS/..., and val/CLASS/... or
 * test/CLASS/... Classes are the sorted names of the folders in train/, labels their places in that order, samples the
 * files in the order of folder_scan.h. Both splits must have the same classes. */
#ifndef SGP_DATA_FORMATS_FOLDER_H
#define SGP_DATA_FORMATS_FOLDER_H

#include "data/formats/source_format.h"

extern const source_format_t folder_format;

#endif
