/* SPDX-License-Identifier: Apache-2.0 */
/* Failures of a transfer in plain words. Only host and port are named: a path or query may hold a
 * key. */
#include <errno.h>

#include "net/client_internal.h"

static void explain_connect(struct http_call *call)
{
        long number = 0;

        curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &number);
        if (call->refused)
                http_call_fail(call, STATUS_FORBIDDEN,
                               "%s is a private address, which this call may not reach",
                               call->peer);
        else if (number == ECONNREFUSED)
                http_call_fail(call, STATUS_UPSTREAM, "connection refused by %s: is it running?",
                               call->peer);
        else if (number == EMFILE || number == ENFILE)
                http_call_fail(call, STATUS_UNAVAILABLE,
                               "could not connect to %s: this server has no file descriptor left",
                               call->peer);
        else
                http_call_fail(call, STATUS_UPSTREAM, "could not connect to %s", call->peer);
}

static void explain_timeout(struct http_call *call)
{
        http_call_fail(call, STATUS_UPSTREAM_TIMEOUT,
                       "could not connect to %s: timed out after %g s", call->peer,
                       call->connect_timeout_ms / 1000.0);
}

/* The transfer began and broke: before the first byte, or in mid-answer. */
static void explain_break(struct http_call *call)
{
        if (call->received || call->header_bytes)
                http_call_fail(call, STATUS_UPSTREAM, "%s broke off in mid-answer", call->peer);
        else
                http_call_fail(call, STATUS_UPSTREAM, "%s closed the connection without an answer",
                               call->peer);
}

void http_call_explain(struct http_call *call, CURLcode code)
{
        if (code == CURLE_COULDNT_RESOLVE_HOST)
                http_call_fail(call, STATUS_UPSTREAM, "could not resolve host %s", call->peer);
        else if (code == CURLE_COULDNT_CONNECT || code == CURLE_ABORTED_BY_CALLBACK)
                explain_connect(call);
        else if (code == CURLE_OPERATION_TIMEDOUT)
                explain_timeout(call);
        else if (code == CURLE_PEER_FAILED_VERIFICATION)
                http_call_fail(call, STATUS_UPSTREAM, "the certificate of %s is not trusted",
                               call->peer);
        else if (code == CURLE_SSL_CONNECT_ERROR)
                http_call_fail(call, STATUS_UPSTREAM,
                               "no secure connection with %s (TLS handshake failed)", call->peer);
        else if (code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR ||
                 code == CURLE_SEND_ERROR || code == CURLE_PARTIAL_FILE ||
                 code == CURLE_HTTP2_STREAM || code == CURLE_HTTP2)
                explain_break(call);
        else if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY)
                http_call_fail(call, STATUS_UPSTREAM, "%s did not answer in HTTP", call->peer);
        else if (code == CURLE_BAD_CONTENT_ENCODING)
                http_call_fail(call, STATUS_UPSTREAM, "%s sent a body that cannot be decompressed",
                               call->peer);
        else
                http_call_fail(call, STATUS_UPSTREAM, "the call to %s failed: %s", call->peer,
                               curl_easy_strerror(code));
}
