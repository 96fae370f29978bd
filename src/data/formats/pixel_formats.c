/* SPDX-License-Identifier: Apache-2.0 */
#include "data/formats/pixel_formats.h"

#include "data/formats/cifar.h"
#include "data/formats/idx_files.h"

#include <stddef.h>

static const pixel_format_t *const formats[] = {
    &cifar10_pixels,
    &cifar100_pixels,
    &idx_pixels,
};

const pixel_format_t *pixel_formats_find(const char *directory) {
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (formats[i]->probe(directory)) return formats[i];
    return NULL;
}
