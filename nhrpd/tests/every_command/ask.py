"""Asks nhrpd's vty socket what a release's vtysh passes on to it, and prints each line, and the code and the text.

    ask.py RELEASE COMMANDS MASKS tables|all

COMMANDS has a definition a line, as FRR writes them, with the releases and the nodes that it is for. Each alternative of a
definition is asked at least once, both ends of a range, with and without what is optional; in full, and with its words cut
short; without its last words, and with a word too many: `whole`, `short`, `part` and `more` in what is printed.

`tables` asks for what NHRP knows, which is to be compared in a network at rest, `all` for everything else.
"""
import json
import re
import socket
import sys

RELEASES = '8.4 9.1 10.0 10.1 10.3 10.5 10.7 master'.split()
VALUES = {'A.B.C.D': '192.0.2.1', 'X:X::X:X': '2001:db8::1', 'A.B.C.D/M': '192.0.2.0/24', 'X:X::X:X/M': '2001:db8::/32',
          'X:X:X:X:X:X': '02:00:00:00:00:01', 'LINE...': 'some words', 'MESSAGE...': 'some words', 'IFNAME': 'gre9',
          'FILENAME': '/run/frr/some.log', 'SOCKET': '/run/frr/nobody'}
ENTER = {'view': [], 'enable': ['enable'], 'config': ['enable', 'configure terminal']}
for node, line in (('interface', 'interface gre9'), ('vrf', 'vrf red'), ('vty', 'line vty')):
    ENTER[node] = ENTER['config'] + [line]

release = RELEASES.index(sys.argv[1])
masks = []
for line in open(sys.argv[3]):
    if line.strip() and line[0] != '#':
        wanted, pattern, replacement = (line.rstrip('\n') + ' ').split(' | ')
        masks.append((re.compile(wanted), re.compile(pattern), replacement.strip()))
tables = sys.argv[4] == 'tables'


def among(text):
    first, last = ('', '') if text == 'all' else text.split('-') if '-' in text else (text, text)
    return (RELEASES.index(first) if first else 0) <= release <= (RELEASES.index(last) if last else 7)


class Definition:
    """Lines of a definition, each a list of words and whether they are keywords."""

    def __init__(self, text):
        self.words = re.findall(r'[<>\[\]{}|]|[^\s<>\[\]{}|]+', text)
        self.at = 0

    def peek(self):
        return self.words[self.at] if self.at < len(self.words) else None

    def sequence(self):
        items = []
        while self.peek() not in (None, '|', '>', ']', '}'):
            items.append(self.item())
        most = max(map(len, items))
        return [sum((item[n % len(item)] for item in items), []) for n in range(most)]

    def choices(self, close):
        found = [self.sequence()]
        while self.peek() == '|':
            self.at += 1
            found.append(self.sequence())
        assert self.peek() == close
        self.at += 1
        return found

    def item(self):
        word = self.peek()
        self.at += 1
        if word == '<':
            return sum(self.choices('>'), [])
        if word == '[':
            return [[]] + sum(self.choices(']'), [])
        if word == '{':
            members = self.choices('}')
            return sum(members, []) + [sum((m[0] for m in members), []), sum((m[-1] for m in members[::-1]), [])]
        if word[0] == '(':
            low, high = word[1:-1].split('-')
            return [[(low, False)], [(high, False)]]
        keyword = re.search('[a-z]', word) is not None and word not in VALUES and not word.endswith('...')
        return [[(word if keyword else VALUES.get(word, 'word'), keyword)]]


vty = None


def ask(lines):
    """The code and the text of the answer to the last line that is answered, in a session that may be an old one."""
    global vty
    if vty is None:
        vty = socket.socket(socket.AF_UNIX)
        vty.settimeout(20)
        vty.connect('/run/frr/nhrpd.vty')
    vty.sendall(b''.join(line.encode() + b'\0' for line in lines))
    got, answers = b'', []
    while len(answers) < len(lines):
        end = got.find(b'\0\0\0')
        if end >= 0 and len(got) > end + 3:
            answers.append((got[end + 3], got[:end].decode()))
            got = got[end + 4:]
            continue
        part = vty.recv(65536)
        if not part:
            vty = None
            return answers[-1] + ('hung up',) if answers else (0, '', 'hung up')
        got += part
    return answers[-1] + ('',)


def in_order(text):
    """Rows come from a hash table in FRR. The order of keys and what stands before and behind them stay."""
    start = text.find('{')
    if start >= 0:
        # FRR up to 10.0 prints a heading before the JSON of shortcuts, which makes it none.
        rows = json.dumps(json.loads(text[start:]))
        text = text[start:]
        return '\n'.join(sorted(line.rstrip(',') for line in text.split('\n'))) + '\n' + '\n'.join(
            sorted(re.findall(r'\{[^{}]*\}', rows)))
    return '\n'.join(sorted(text.split('\n')))


done = set()


def look(node, line, definition, kind):
    global vty
    if (node, line) in done:
        return
    done.add((node, line))
    code, text, end = ask(['end', 'disable'] + ENTER[node] + [line])
    if tables and kind != 'more':
        text = in_order(text)
    answer = '%d %s' % (code, text)
    for wanted, pattern, replacement in masks:
        if wanted.fullmatch(definition) or wanted.fullmatch(line):
            answer = pattern.sub(replacement, answer, count=0)
    print('%s | %s | %s | %r%s' % (kind, node, line, answer, end))
    # At the top that hangs up; and what follows must not be a file that is being read.
    if definition in ('exit', 'quit', 'XFRR_start_configuration') and vty is not None:
        vty.close()
        vty = None


for text in open(sys.argv[2]):
    if text[0] == '#':
        continue
    releases, nodes, _, definition = text.strip().split(' | ', 3)
    of_tables = definition.startswith(('show <ip|ipv6> nhrp', 'show dmvpn'))
    if not among(releases) or of_tables != tables or 'terminal monitor' in definition:
        continue
    for node in nodes.split(','):
        for words in Definition(definition).sequence():
            for length in (99, 4, 3, 2):
                line = ' '.join(w[:length] if keyword else w for w, keyword in words)
                look(node, line, definition, 'whole' if length == 99 else 'short')
            full = [w for w, _ in words]
            for count in range(1, len(full)):
                look(node, ' '.join(full[:count]), definition, 'part')
            look(node, ' '.join(full + ['nonsense']), definition, 'more')
