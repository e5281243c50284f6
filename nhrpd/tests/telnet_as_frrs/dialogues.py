"""Types into nhrpd's telnet vty what is below, and prints what comes back: a line for each thing typed.

    dialogues.py [NAME…]

Each dialogue is a connection of its own. What is typed next is sent when nothing has come for a while, so that transcripts
do not depend on how octets are packed. The daemon's configuration is configure()'s, by the vty socket.
"""
import re
import socket
import sys
import time

QUIET = 0.25
ESCAPE, UP, DOWN, RIGHT, LEFT = b'\x1b', b'\x1b[A', b'\x1b[B', b'\x1b[C', b'\x1b[D'
# That a terminal is 80 by 24: IAC WILL NAWS, IAC SB NAWS 0 80 0 24 IAC SE.
SIZE = b'\xff\xfb\x1f\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0'


def control(letter):
    return bytes([ord(letter) & 31])


LOGIN = [b'zebra\r\n']
ENABLED = LOGIN + [b'enable\r\n', b'secret\r\n']

DIALOGUES = {
    'wrong passwords': [b'no\r\n', b'\r\n', b'never\r\n'],
    'wrong passwords for more': LOGIN + [b'enable\r\n', b'no\r\n', b'no\r\n', b'no\r\n', b'show history\r\n'],
    'not after all': LOGIN + [b'enable\r\n', control('c'), b'enable\r\n', control('z'), b'enable\r\n', control('d')],
    'up and down': ENABLED + [
        b'conf t\r\n', b'interface gre9\r\n', b'ip nhrp network-id 7\r\n', b'exit\r\n', b'interface gre9\r\n', control('z'),
        b'conf t\r\n', b'line vty\r\n', control('c'), b'disable\r\n', b'conf t\r\n', b'exit\r\n'],
    'at the login': [control('c'), control('z'), control('d'), b'zeb' + control('d'), control('c'), b'zebra\r\n'],
    'down by a key': ENABLED + [b'conf t\r\n', b'interface gre9\r\n', control('d'), control('d'), control('d')],
    'ends': [LOGIN[0], b'quit\r\n'],
    'ends by a key': LOGIN + [control('d')],
    'lines of all kinds': LOGIN + [b'\r\n', b'   \r\n', b'!\r\n', b'# words\r\n', b'nonsense\r\n', b'show\r\n', b'show nonsense\r\n',
                                   b'show ip nhrp\r\n', b'enable more\r\n', b'terminal length\r\n', b'terminal length 999\r\n',
                                   b'terminal no length\r\n', b's\r\n', b'echo some words\r\n', b'e\r\n'],
    'ends of lines': LOGIN + [b'echo a\r', b'echo b\n', b'echo c\r\0', b'echo d\r\necho e\r\n'],
    'help': ENABLED + [b'?', b'show ip ?', control('u'), b'show ip nhrp ?', control('u'), b'show ip nh?', control('u'),
                       b'nonsense ?', control('u'), b'clear ip nhrp?', control('u'), b'terminal length ?', control('u'),
                       b'conf t\r\n', b'interface gre9\r\n', b'ip nhrp ?', control('u'), b'ip nhrp map ?', control('u'),
                       b'ip nhrp map 10.0.0.1 ?', control('u'), b'ip nhrp holdtime ?', control('u'),
                       b'tunnel ?', control('u'), b'no ip nhrp ?', control('u'), b'ip nhrp nhs dynamic nbma 192.0.2.1 ?'],
    'completion': ENABLED + [b'sh\t', b'ip\t', b'nh\t', b'\t', control('u'), b'sho\t', control('u'), b'nonsense\t', control('u'),
                             b'show ip nhrp\t', control('u'), b'conf\tt\t\r\n', b'inter\tgre9\r\n', b'ip nhrp n\t', b'\x08hold\t',
                             b'\t', b'60\t', control('u'), b'ip nhrp nhs dyn\t', b'nb\t', control('a') + b'no \t'],
    'in the middle': LOGIN + [b'show ip', control('a'), b'?', control('a') + b'\t', control('b') * 2 + b'\t', control('u')],
    'editing': LOGIN + [
        b'echo words', control('a'), b'x', control('d'), control('e'), b'y', control('h'), control('b'), control('f'),
        ESCAPE + b'b', ESCAPE + b'f', control('b') * 3, control('k'), b'rds and more', control('w'), control('t'),
        ESCAPE + b'\x7f', b'again\r\n', b'echo of\x7f\x08ne two three', ESCAPE + b'b' + ESCAPE + b'b', ESCAPE + b'd', control('k'),
        LEFT * 4, RIGHT, b'Z\r\n', b'echo middle', control('b') * 3, control('u'), b'echo \r\n', control('a'), b'abc', control('t'),
        control('b'), control('t'), LEFT * 9, RIGHT * 9, b'\x7f' * 9, b'\r\n', b'\x00', control('x'), control('l'), control('r')],
    'history': LOGIN + [UP, b'echo one\r\n', b'echo two\r\n', b'echo two\r\n', UP, UP, UP, DOWN, DOWN, DOWN, control('p'), control('p'),
                        b'\r\n', control('n'), UP, b'!\r\n', b'show history\r\n', b'half', UP, DOWN, control('u'), b'show history\r\n'],
    'history is short': LOGIN + [b''.join(b'echo %d\r\n' % n for n in range(30)), b'show history\r\n', UP * 25],
    'configuration': ENABLED + [b'write terminal\r\n', b'show running-config\r\n', b'write file\r\n', b'write memory\r\n',
                                b'show startup-config\r\n', b'copy running-config startup-config\r\n'],
    'what is there': ENABLED + [b'who\r\n', b'show version\r\n', b'show debugging\r\n', b'show ip nhrp opennhrp\r\n', b'show logging\r\n',
                                b'show commandtree\r\n'],
    'pages': [SIZE] + ENABLED + [b'terminal length 5\r\n', b'show running-config\r\n', b' ', b'\r', b'x', b'q', b'echo after\r\n',
                                 b'terminal length 0\r\n', b'show history\r\n', b'terminal no length\r\n', b'show history\r\n',
                                 b'terminal length 4\r\n', b'show history\r\n', b' ', control('c'), b'echo after\r\n',
                                 b'terminal length 1\r\n', b'show history\r\n', b'Q', b'echo ' + b'x' * 300 + b'\r\n', b'q'],
    'pages of a narrow window': [b'\xff\xfa\x1f\x00\x0a\x00\x06\xff\xf0'] + LOGIN + [
        b'show history\r\n', b'echo ' + b'x' * 90 + b'\r\n', b' ', b' ', b'echo some words', control('c'), b'show debugging hashtable\r\n', b'q'],
    'no size, pages': ENABLED + [b'terminal length 5\r\n', b'show running-config\r\n'],
    'telnet itself': [b'\xff\xf1\xff\xfd\x01\xff\xfd\x03\xff\xfc\x22' + SIZE] + LOGIN + [
        b'echo one\xff\xfb\x20\r\n', b'\xff\xfa\x18\x00xterm\xff\xf0echo two\r\n', b'\xff\xf6', b'\xff\xf4', b'echo three\r\n'],
    'long': LOGIN + [b'echo ' + b'x' * 500, control('a'), b'y', control('e'), b'\r\n'],
}


def say(name, value):
    print('%s | %s' % (name, value))


def settled(client, quiet=QUIET):
    """What has come when nothing more comes, and whether the connection has ended. Behind a prompt hardly anything comes."""
    got = b''
    try:
        while True:
            client.settimeout(0.03 if got.endswith((b'> ', b'# ', b'Password: ', b'--More-- \0')) else quiet)
            part = client.recv(65536)
            if not part:
                return got, True
            got += part
    except TimeoutError:
        return got, False
    except ConnectionResetError:
        return got, True


def words_only(got):
    """Of the rows that help prints, the words that may follow: what is said of them is each program's own."""
    return re.sub(rb'(?m)^  (\S+) [^\r\n]*', rb'  \1', got)


def connect():
    return socket.create_connection(('127.0.0.1', 2610))


def configure(lines):
    vty = socket.socket(socket.AF_UNIX)
    vty.connect('/run/frr/nhrpd.vty')
    for line in ['enable', 'configure terminal'] + lines:
        vty.sendall(line.encode() + b'\0')
        got = b''
        while len(got) < 4 or got[-4:-1] != b'\0\0\0':
            got += vty.recv(65536)
        if got[-1] not in (0, 1):
            say('configured', '%r: %r' % (line, got))
    vty.close()


def converse(name, typed, quiet=QUIET):
    client = connect()
    number, (got, ended) = 0, settled(client, quiet)
    say('%s %02d' % (name, number), '%r -> %r%s' % (b'', got, ' ended' if ended else ''))
    for keys in typed:
        if ended:
            break
        number += 1
        try:
            client.sendall(keys)
        except OSError:
            ended = True
        got, gone = settled(client, quiet)
        ended = ended or gone
        if keys.endswith(b'?'):
            got = words_only(got)
        say('%s %02d' % (name, number), '%r -> %r%s' % (keys, got, ' ended' if ended else ''))
    client.close()


def idle(name, least, most, typed):
    """How long an idle terminal lasts, in words: clocks are not compared."""
    client = connect()
    settled(client)
    for keys in typed:
        client.sendall(keys)
        settled(client)
    begun = time.monotonic()
    got, ended = settled(client, most)
    took = time.monotonic() - begun
    say(name, '%r%s %s' % (got, ' ended' if ended else '', 'in time' if least < took < most else 'after %.1f s' % took))
    client.close()


for name, typed in DIALOGUES.items():
    if sys.argv[1:] and name not in sys.argv[1:]:
        continue
    converse(name, typed)
if sys.argv[1:]:
    sys.exit()

configure(['line vty', 'exec-timeout 0 2'])
idle('idle', 1, 4, LOGIN)
idle('idle before the password', 1, 4, [])
configure(['line vty', 'no exec-timeout'])
configure(['access-list local seq 5 deny 127.0.0.1/32', 'access-list local seq 10 permit any', 'line vty', 'access-class local'])
converse('kept out', LOGIN)
configure(['no access-list local seq 5 deny 127.0.0.1/32'])
converse('let in', LOGIN)
configure(['line vty', 'access-class nobody'])
converse('a list that is not there', LOGIN)
configure(['line vty', 'no access-class nobody', 'exit', 'banner motd line a greeting'])
converse('greeting', LOGIN)
configure(['no banner motd'])
converse('no greeting', LOGIN)
configure(['banner motd default', 'service advanced-vty'])
converse('advanced', LOGIN + [b'enable\r\n', b'secret\r\n'])
configure(['no enable password'])
converse('advanced without a second password', LOGIN + [b'enable\r\n'])
configure(['no service advanced-vty', 'service password-encryption'])
converse('no second password', LOGIN + [b'enable\r\n', b'show running-config\r\n'])
configure(['line vty', 'no login'])
converse('no login', [b'enable\r\n'])
configure(['line vty', 'login', 'exit', 'no password'])
converse('no password', [b'zebra\r\n'])
