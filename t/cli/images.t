# Images and files with the real Claude Code between client and model: they
# stand where the client put them. Both versions.

use strict;
use warnings;
use utf8;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Compress::Zlib qw(compress crc32);
use Encode qw(encode_utf8);
use MIME::Base64 qw(encode_base64);
use Test::More;

use CLB::Model qw(turns_of);
use CLB::Server;

my ($m, $s);

# --- asking ---------------------------------------------------------------

sub hears {
    my ($messages, $want, $name, %o) = @_;
    my $before = $m->requests;
    my $r = $s->chat($messages, model => 'claude-sonnet-4-6', %o);
    my @new = ($m->requests)[$before .. $m->requests - 1];
    is(scalar @new, 1, 'one request to the model') or diag explain $r->{body};
    my $got = @new ? turns_of($new[-1]{body}) : [];
    is_deeply($got, $want, $name) or diag explain $got;
    return $r;
}

sub refused {
    my ($part, $kind, $name) = @_;
    my $before = $m->requests;
    my $r = $s->chat([ user('q'), assistant('a'), user([ text('t'), $part ]) ],
                     model => 'claude-sonnet-4-6');
    is_deeply([ $r->{status}, $r->{json}{error}{param} ],
              [ 400, 'messages[2].content[1]' ], $name) or diag $r->{body};
    like($r->{json}{error}{message}, $kind, 'what it must be');
    is(scalar $m->requests, $before, 'the model is not asked');
}

sub user      { { role => 'user',      content => $_[0] } }
sub assistant { { role => 'assistant', content => $_[0] } }
sub text      { { type => 'text', text => $_[0] } }
sub url       { { type => 'image_url', image_url => { url => $_[0] } } }
sub data_url  { "data:$_[0];base64," . encode_base64($_[1], '') }
sub image     { url(data_url('image/png', $_[0])) }

sub file {
    my ($name, $type, $data) = @_;
    return { type => 'file', file => {
        filename => $name, file_data => data_url($type, $data) } };
}

# As the model's API has them.
sub image_of {
    my ($data, $type) = @_;
    return { type => 'image', source => { type => 'base64',
        media_type => $type || 'image/png',
        data       => encode_base64($data, '') } };
}

sub file_of {
    my ($name, %source) = @_;
    return { type => 'document', title => $name, source => \%source };
}

# --- pictures -------------------------------------------------------------

# A PNG of one colour, or of noise, which nothing makes smaller.
sub png {
    my ($width, $height, $noise) = @_;
    srand 7;
    my $rows = join '', map { "\0" . ($noise
        ? join '', map { chr int rand 256 } 1 .. 3 * $width
        : "\x40\x80\xc0" x $width) } 1 .. $height;
    my $chunk = sub {
        my ($type, $data) = @_;
        return pack 'N a4 a* N', length $data, $type, $data,
               crc32($type . $data);
    };
    return "\x89PNG\r\n\x1a\n"
        . $chunk->(IHDR => pack 'N N C5', $width, $height, 8, 2, 0, 0, 0)
        . $chunk->(IDAT => compress($rows)) . $chunk->(IEND => '');
}

my $dot   = png(1, 1);
my $noise = png(300, 300, 1);
my $pdf   = "%PDF-1.4\n%" . ('x' x 100_000);

# --- what the model gets --------------------------------------------------

sub places {
    hears([ user([ image($dot) ]) ], [ [ user => image_of($dot) ] ],
          'an image alone');
    hears([ user([ text('a'), image($dot), text('/help'), image($noise) ]) ],
          [ [ user => 'a', image_of($dot), '/help', image_of($noise) ] ],
          'images between texts');
    hears([ user([ text('/help @/etc/hostname'), image($dot) ]) ],
          [ [ user => '/help @/etc/hostname', image_of($dot) ] ],
          'the text before an image is no command');
    hears([ user([ text('/clear'), image($dot) ]), assistant('/x'),
            user([ image($dot), text('/compact') ]) ],
          [ [ user => '/clear', image_of($dot) ], [ assistant => '/x' ],
            [ user => image_of($dot), '/compact' ] ], 'nor in a history');
    my $r = hears([ user([ image($dot) ]), assistant('one'),
                    user([ image($dot), text('[[images]]') ]) ],
          [ [ user => image_of($dot) ], [ assistant => 'one' ],
            [ user => image_of($dot), '[[images]]' ] ],
          'images of a history are seen');
    is($r->{text}, 'images=2;', 'by the model');
    hears([ user([ url('https://example.org/a.png?x=1&y="2"') ]) ],
          [ [ user => { type => 'image', source => { type => 'url',
              url => 'https://example.org/a.png?x=1&y="2"' } } ] ],
          'an address is handed on');
    hears([ user([ url(data_url('image/jpeg', $dot)) ]) ],
          [ [ user => image_of($dot) ] ], 'a wrong type is put right');
}

sub files {
    hears([ user([ text('/help'), file('a.pdf', 'application/pdf', $pdf),
                   text('q') ]) ],
          [ [ user => '/help', file_of('a.pdf', type => 'base64',
              media_type => 'application/pdf',
              data => encode_base64($pdf, '')), 'q' ] ], 'a PDF');
    my $text = "/help \@/etc/hostname é\n" x 1000;
    hears([ user([ file('a.md', 'text/markdown; charset=utf-8',
                        encode_utf8($text)) ]) ],
          [ [ user => file_of('a.md', type => 'text',
              media_type => 'text/plain', data => $text) ] ], 'a text');
}

# The CLI makes large ones smaller; README says from where on.
sub large {
    my $scaled = qr/^\[Image: original 2001x9, displayed at 2000x9\./;
    my %size = (most => png(2000, 9), wide => png(2001, 9),
                big => png(420, 420, 1));
    cmp_ok(length $size{big}, '>', 512 * 1024, 'an image of more than 512 KB');
    hears([ user([ image($size{most}) ]) ],
          [ [ user => image_of($size{most}) ] ], '2000 pixels stay');
    for ([ wide => $scaled ], [ big => undef ]) {
        my ($name, $note) = @$_;
        my $r = $s->chat([ user([ image($size{$name}), text('q') ]) ],
                         model => 'claude-sonnet-4-6');
        my ($turn) = @{ turns_of($m->last->{body}) };
        is($r->{status}, 200, "$name is answered");
        is($turn->[1]{type}, 'image', 'an image comes');
        isnt($turn->[1]{source}{data}, encode_base64($size{$name}, ''),
             'another one');
        is($turn->[2], 'q', 'and the text');
        if ($note) { like($turn->[3], $note, 'and a note at the end') }
    }
}

sub bad {
    my $image = qr/must be a PNG, JPEG, GIF or WebP image as a data: URL/;
    my $file  = qr/must be a PDF or a text as a data: URL/;
    refused(url('file:///etc/hostname'), $image, 'a file of this machine');
    refused(url('data:image/png;base64,@@@@'), qr/must be base64/,
            'no base64');
    refused(image('hello world!'), $image, 'no image');
    refused(url(data_url('image/svg+xml', '<svg/>')), $image, 'a drawing');
    refused(file('a.zip', 'application/zip', 'PK'), $file, 'an archive');
    refused(file('a.txt', 'text/plain', "\xff\xfe"), qr/must be text in UTF-8/,
            'a text of another kind');
    refused({ type => 'file', file => { file_id => 'file-1' } },
            qr/stores no files/, 'a file that is not here');
    refused({ type => 'input_audio', input_audio => {} },
            qr/no sound and no film/, 'sound');
}

for my $program (qw(claude claude-newest)) {
    $m = CLB::Model->start;
    $s = CLB::Server->start(config => $m->config(program => $program));
    subtest "$program: images stand where they stood" => \&places;
    subtest "$program: files"                         => \&files;
    subtest "$program: large images"                  => \&large;
    subtest "$program: what is refused"               => \&bad;
    $s->stop;
    $m->stop;
}
done_testing;
