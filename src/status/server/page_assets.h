/* SPDX-License-Identifier: Apache-2.0 */
/* The style sheet and the script of the page: page.css and page.js, which cmake/SgpStatus.cmake puts into a C file. */
#ifndef SGP_STATUS_SERVER_PAGE_ASSETS_H
#define SGP_STATUS_SERVER_PAGE_ASSETS_H

#include <stddef.h>

extern const char page_style[];
extern const size_t page_style_size;
extern const char page_script[];
extern const size_t page_script_size;

#endif
