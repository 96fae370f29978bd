/* SPDX-License-Identifier: Apache-2.0 */
/* A data set of four IDX files, as MNIST and its relatives: train-images-idx3-ubyte, train-labels-idx1-ubyte,
 * t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, each with or without ".gz". One channel, labels 0..9. Names of classes
 * from classes.txt, where there is one; those of Fashion-MNIST are known. */
#ifndef SGP_DATA_FORMATS_IDX_FILES_H
#define SGP_DATA_FORMATS_IDX_FILES_H

#include "data/formats/pixel_format.h"

extern const pixel_format_t idx_pixels;

#endif
