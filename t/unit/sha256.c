/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 against FIPS 180-4's examples and the padding's edges. */
#include "tap.h"

#include "../../src/core/sha256.h"

#include <stdlib.h>

static const char *hex(const unsigned char digest[CLB_SHA256_SIZE])
{
    static char text[2 * CLB_SHA256_SIZE + 1];
    int i;

    for (i = 0; i < CLB_SHA256_SIZE; i++) {
        sprintf(text + 2 * i, "%02x", digest[i]);
    }
    return text;
}

static void is_digest(const char *data, apr_size_t len, const char *want,
                      const char *what)
{
    unsigned char digest[CLB_SHA256_SIZE];

    clb_sha256(digest, data, len);
    is_str(hex(digest), want, "%s", what);
}

static void digests(void)
{
    static const char bits448[] =
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    static const char bits896[] =
        "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
        "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
    static const struct {
        apr_size_t len;
        const char *want;
    } edges[] = {
        { 54, "a3f01b6939256127582ac8ae9fb47a38"
              "2a244680806a3f613a118851c1ca1d47" },
        { 55, "9f4390f8d30c2dd92ec9f095b65e2b9a"
              "e9b0a925a5258e241c9f1e910f734318" },
        { 56, "b35439a4ac6f0948b6d6f9e3c6af0f5f"
              "590ce20f1bde7090ef7970686ec6738a" },
        { 57, "f13b2d724659eb3bf47f2dd6af1accc8"
              "7b81f09f59f2b75e5c0bed6589dfe8c6" },
        { 63, "7d3e74a05d7db15bce4ad9ec0658ea98"
              "e3f06eeecf16b4c6fff2da457ddc2f34" },
        { 64, "ffe054fe7ae0cb6dc65c3af9b61d5209"
              "f439851db43d0ba5997337df154668eb" },
        { 65, "635361c48bb9eab14198e76ea8ab7f1a"
              "41685d6ad62aa9146d301d4f17eb0ae0" },
        { 119, "31eba51c313a5c08226adf18d4a359cf"
               "dfd8d2e816b13f4af952f7ea6584dcfb" },
        { 120, "2f3d335432c70b580af0e8e1b3674a7c"
               "020d683aa5f73aaaedfdc55af904c21c" },
        { 128, "6836cf13bac400e9105071cd6af47084"
               "dfacad4e5e302c94bfed24e013afb73e" },
    };
    char *million = malloc(1000000);
    apr_size_t i;

    memset(million, 'a', 1000000);
    is_digest("", 0, "e3b0c44298fc1c149afbf4c8996fb924"
                     "27ae41e4649b934ca495991b7852b855", "nothing");
    is_digest(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb924"
                       "27ae41e4649b934ca495991b7852b855", "no data");
    is_digest("abc", 3, "ba7816bf8f01cfea414140de5dae2223"
                        "b00361a396177a9cb410ff61f20015ad", "abc");
    is_digest(bits448, 56, "248d6a61d20638b8e5c026930c3e6039"
                           "a33ce45964ff2167f6ecedd419db06c1", "448 bits");
    is_digest(bits896, 112, "cf5b16a778af8380036ce59e7b049237"
                            "0b249b11e8f07a51afac45037afee9d1", "896 bits");
    is_digest(million, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67"
                                "f1809a48a497200e046d39ccc7112cd0",
              "a million a");
    for (i = 0; i < sizeof(edges) / sizeof(*edges); i++) {
        char what[32];

        snprintf(what, sizeof(what), "%d a", (int)edges[i].len);
        is_digest(million, edges[i].len, edges[i].want, what);
    }
    free(million);
}

/* However it is cut into pieces, the digest is the same. */
static void pieces(void)
{
    unsigned char data[300], whole[CLB_SHA256_SIZE], digest[CLB_SHA256_SIZE];
    apr_size_t i, cut, differ = 0;
    clb_sha256_t sum, copy;

    for (i = 0; i < sizeof(data); i++) {
        data[i] = (unsigned char)(i * 7);
    }
    clb_sha256(whole, data, sizeof(data));
    for (cut = 1; cut < sizeof(data); cut++) {
        clb_sha256_begin(&sum);
        for (i = 0; i < sizeof(data); i += cut) {
            clb_sha256_add(&sum, data + i, cut < sizeof(data) - i ? cut
                                           : sizeof(data) - i);
            clb_sha256_end(&sum, digest);
        }
        differ += memcmp(digest, whole, sizeof(whole)) != 0;
    }
    is_int(differ, 0, "pieces of any size, with looks in between");
    clb_sha256_begin(&sum);
    clb_sha256_add(&sum, "ab", 2);
    copy = sum;
    clb_sha256_add(&sum, "x", 1);
    clb_sha256_add(&copy, "c", 1);
    clb_sha256_end(&copy, digest);
    is_str(hex(digest), "ba7816bf8f01cfea414140de5dae2223"
                        "b00361a396177a9cb410ff61f20015ad",
           "a copy goes on by itself");
}

static void unhex(void)
{
    static const char lower[] =
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    static const char upper[] =
        "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF";
    unsigned char digest[CLB_SHA256_SIZE];
    char bad[65], wrong[] = "g:/@`G \n-x\xe9";
    const char *c;

    is_int(clb_sha256_unhex(digest, lower), APR_SUCCESS, "lower case");
    is_str(hex(digest), lower, "is decoded");
    memset(digest, 0, sizeof(digest));
    is_int(clb_sha256_unhex(digest, upper), APR_SUCCESS, "upper case");
    is_str(hex(digest), lower, "is the same");
    is_int(clb_sha256_unhex(digest, ""), APR_EINVAL, "nothing is refused");
    is_int(clb_sha256_unhex(digest, lower + 1), APR_EINVAL, "so are 63");
    snprintf(bad, sizeof(bad), "%s", lower);
    for (c = wrong; *c != '\0'; c++) {
        bad[63] = *c;
        is_int(clb_sha256_unhex(digest, bad), APR_EINVAL,
               "byte %02x is no digit", (unsigned char)*c);
    }
    is_int(clb_sha256_unhex(digest, "0123456789abcdef0123456789abcdef0123456"
                                    "789abcdef0123456789abcdef0"), APR_EINVAL,
           "so are 65");
}

int main(void)
{
    digests();
    pieces();
    unhex();
    return tap_done();
}
