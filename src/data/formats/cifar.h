/* SPDX-License-Identifier: Apache-2.0 */
/* The binary files of CIFAR-10 and CIFAR-100: records of one label (CIFAR-100: coarse, then fine, of which the fine one
 * counts) and 3072 bytes, the red, green and blue planes of 32 x 32 pixels. Any number of records per file. Source:
 * https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version".
 *
 * CIFAR-10: data_batch_1.bin to data_batch_5.bin and test_batch.bin, names of classes in batches.meta.txt. CIFAR-100:
 * train.bin and test.bin, fine_label_names.txt. Without the text file classes are called by their numbers. */
#ifndef SGP_DATA_FORMATS_CIFAR_H
#define SGP_DATA_FORMATS_CIFAR_H

#include "data/formats/pixel_format.h"

extern const pixel_format_t cifar10_pixels, cifar100_pixels;

#endif
