/* SPDX-License-Identifier: Apache-2.0 */
/* Answers requests: called by libmicrohttpd in the server's thread, with an http_context_t. */
#ifndef SGP_STATUS_SERVER_HTTP_ANSWER_H
#define SGP_STATUS_SERVER_HTTP_ANSWER_H

#include "status/server/http_context.h"

/* An MHD_AccessHandlerCallback. */
enum MHD_Result http_answer(void *context, struct MHD_Connection *connection, const char *url,
                            const char *method, const char *version, const char *upload,
                            size_t *upload_size, void **request);

#endif
