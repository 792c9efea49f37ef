package CLB::Gemini;

# Google's Gemini API over CLB::Client.
#
#   my $r = gemini($s, 'text' or [contents], tools => […], …);
#       {status, headers, json, body} and of the answer {parts, text, thoughts,
#        calls, finish, usage, feedback, error}
#   my $r = gemini_stream($s, …);    with -array: without alt=sse
#       the same, put together from its pieces, and {pieces} and {grammar}:
#       undef, or what is wrong with their order
#   user(…), model(…)   a content of texts and other parts
#   call('f', {…}), result('f', {…})   parts, which may have an id => …
#
# Fields are those of the request; one with a dot stands inside of another.
# Options stand after a dash, as in CLB::Client; -version is v1beta, -where
# comes before it.

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();

use CLB::Client;

our @EXPORT_OK = qw(call gemini gemini_stream model result user);

my $json = JSON::PP->new->utf8;

sub content { return { role => $_[0], parts => [
    map { ref ? $_ : { text => $_ } } @_[1 .. $#_] ] } }
sub user   { return content(user => @_) }
sub model  { return content(model => @_) }
sub call   { return { functionCall => { name => $_[0],
                      args => $_[1] || {}, @_[2 .. $#_] } } }
sub result { return { functionResponse => { name => $_[0],
                      response => $_[1] || {}, @_[2 .. $#_] } } }

# The path, the body and the options of a request.
sub request_of {
    my ($method, $text, %o) = @_;
    my %with = map { /^-(.*)/ ? ($1 => delete $o{$_}) : () } keys %o;
    my $model = delete $o{model} // '';
    my %body = (contents => ref $text ? $text : [ user($text) ]);
    for my $name (keys %o) {
        my @path = split /\./, $name;
        my $last = pop @path;
        my $at   = \%body;
        $at = $at->{$_} ||= {} for @path;
        $at->{$last} = $o{$name};
    }
    $with{path} ||= ($with{where} // '') . '/' . ($with{version} || 'v1beta')
        . "/models/$model:$method";
    return (\%body, %with);
}

sub take {
    my ($r, @pieces) = @_;
    my @candidates = map { $_->{candidates} ? $_->{candidates}[0] : () }
                     @pieces;
    my @parts = map { @{ $_->{content}{parts} || [] } } @candidates;
    my $join = sub { join '', map { $_->{text} // '' } @_ };
    $r->{parts}    = \@parts;
    $r->{text}     = $join->(grep { !$_->{thought} } @parts);
    $r->{thoughts} = $join->(grep { $_->{thought} } @parts);
    $r->{calls}    = [ map { $_->{functionCall} || () } @parts ];
    for my $piece (@pieces) {
        $r->{usage}    = $piece->{usageMetadata}  if $piece->{usageMetadata};
        $r->{feedback} = $piece->{promptFeedback} if $piece->{promptFeedback};
        $r->{error}    = $piece->{error}          if $piece->{error};
    }
    $r->{finish} = $candidates[-1]{finishReason} if @candidates;
    return $r;
}

sub gemini {
    my ($s, $text, %o) = @_;
    my ($body, %with) = request_of('generateContent', $text, %o);
    my $r = CLB::Client::request($s, 'POST', delete $with{path}, $body, %with);
    return take($r, ref $r->{json} eq 'HASH' ? $r->{json} : {});
}

# What must not be so in a stream: something behind its end, an end that says
# less or more than it should.
sub grammar {
    my (@pieces) = @_;
    my $ended;
    for my $piece (@pieces) {
        return 'a piece is no object' if ref $piece ne 'HASH';
        return 'something behind the end' if $ended;
        return undef if $piece->{error};
        return 'no modelVersion' unless defined $piece->{modelVersion};
        $ended = $piece->{promptFeedback}
              || $piece->{candidates}[0]{finishReason};
        return 'usage' unless !$ended == !$piece->{usageMetadata};
    }
    return $ended ? undef : 'no end';
}

sub gemini_stream {
    my ($s, $text, %o) = @_;
    my $array = delete $o{-array};
    my ($body, %with) = request_of('streamGenerateContent', $text, %o);
    my $path = delete $with{path};
    $path .= ($path =~ /\?/ ? '&' : '?') . 'alt=sse' unless $array;
    my $c = CLB::Client->open($s, %with);
    $c->send_request('POST', $path, $body, %with);
    my $head = $c->read_head($with{timeout}) || { headers => {} };
    my $type = $head->{headers}{'content-type'} // '';
    my @pieces;
    if ($type !~ /^text\/event-stream/) {
        my $r = $c->read_response($with{timeout});
        my $all = $r->{body};
        @pieces = ref $r->{json} eq 'ARRAY' ? @{ $r->{json} }
                : ref $r->{json} eq 'HASH'  ? $r->{json} : ();
        # an array that is not closed
        @pieces = @{ (eval { $json->decode("$all]") }) || [] }
            if !@pieces && $all =~ /^\s*\[/;
        take($r, @pieces);
        return { %$r, pieces => \@pieces,
                 grammar => grammar(@pieces) };
    }
    while (my $event = $c->read_event($with{timeout})) {
        push @pieces, $event->{json};    # a comment is none
    }
    my %r = (%$head, clean => $c->{clean}, pieces => \@pieces, grammar => grammar(@pieces));
    return take(\%r, grep { ref eq 'HASH' } @pieces);
}

1;
