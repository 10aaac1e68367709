/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the reader of HTML files. */
#include "fuzz_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        fuzz_reader(read_html, data, size);
        return 0;
}
