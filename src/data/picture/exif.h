/* SPDX-License-Identifier: Apache-2.0 */
/* The orientation that a camera has noted in a JPEG. Training ignores it, as torchvision does; `sgp data check` tells
 * how many pictures lie on their side. Source: Exif 2.3 (CIPA DC-008), 4.5.4 and 4.6.2, tag 0x0112. */
#ifndef SGP_DATA_PICTURE_EXIF_H
#define SGP_DATA_PICTURE_EXIF_H

#include <stddef.h>
#include <stdint.h>

/* 1 .. 8; 1, upright, where the file tells none. bytes: (size) of any file. */
int exif_orientation(const uint8_t *bytes, size_t size);

#endif
