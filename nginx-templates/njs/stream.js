// TCP and UDP services: which endpoint a session goes to. Runs in njs 0.7.9 and later.
//
// Each listener, and each host whose TLS is passed through, has a file, which is replaced as a whole when its endpoints change: so a new session always sees the
// newest ones, and running sessions see nothing of it. Its lines are
//
//     random | address | client    who decides: chance, the client's address, or its address and port
//     NAME                         namespace-service-port, for the log
//     WEIGHT PEER                  an endpoint: a number made from its address, and what to connect to
//
// A peer is an address, or a name of several addresses of which NGINX tries one after the other. Such a name says the
// addresses itself, in hexadecimal (`0a000001.0a000002.endpoints`); `read_question` and `answer` are its name server.

import fs from 'fs';

function file_of(s) {
    const v = s.variables;
    return `${v.tidegate_streams}/${protocol_of(s)}-${v.server_port}`;
}

function protocol_of(s) {
    return s.variables.protocol === 'UDP' ? 'udp' : 'tcp';
}

function lines_of(s, file) {
    try {
        return fs.readFileSync(file, 'utf8').split('\n');
    } catch (e) {
        s.error(`no endpoints: ${e.message}`);
        return ['random', ''];
    }
}

function name(s) {
    return `${protocol_of(s)}-${lines_of(s, file_of(s))[1]}`;
}

function peer(s) {
    return peer_in(s, file_of(s));
}

// An empty peer ends the session.
function peer_in(s, file) {
    const lines = lines_of(s, file);
    const count = lines.length - 2;
    if (count < 1) {
        return '';
    }
    const line = count === 1 ? lines[2] : lines[2 + choose(s, lines, count)];
    return line.slice(line.indexOf(' ') + 1);
}

function choose(s, lines, count) {
    if (lines[0] === 'random') {
        return Math.floor(Math.random() * count);
    }
    const v = s.variables;
    const client = hash(lines[0] === 'address' ? v.remote_addr : `${v.remote_addr} ${v.remote_port}`);
    // The highest score wins: an endpoint that comes or goes moves no clients but its own.
    let best = 0;
    let highest = -1;
    for (let i = 0; i < count; i++) {
        const score = mix(client ^ parseInt(lines[2 + i], 10));
        if (score > highest) {
            highest = score;
            best = i;
        }
    }
    return best;
}

function hash(text) {
    let h = 0x811c9dc5;
    for (let i = 0; i < text.length; i++) {
        h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
    }
    return h;
}

function mix(h) {
    h = Math.imul(h ^ (h >>> 16), 0x45d9f3b);
    h = Math.imul(h ^ (h >>> 16), 0x45d9f3b);
    return (h ^ (h >>> 16)) >>> 0;
}

// -- TLS that is passed through ----------------------------------------------------------------------------------------

// The file of a host has the same form. Nothing but a name may become one.
const HOST = /^[a-z0-9][a-z0-9.-]{0,252}$/;

function tls_file_of(s) {
    const host = s.variables.ssl_preread_server_name.toLowerCase().replace(/\.$/, '');
    return HOST.test(host) ? `${s.variables.tidegate_streams}/s-${host}` : '';
}

function passes(s) {
    const file = tls_file_of(s);
    if (file) {
        try {
            fs.accessSync(file);
            return 'yes';
        } catch (e) {
            // of most hosts TLS ends here
        }
    }
    return '';
}

function tls_peer(s) {
    const file = tls_file_of(s);
    return file && peer_in(s, file);
}

// -- the name server --------------------------------------------------------------------------------------------------

const A = 1;
const AAAA = 28;
const TTL = [0, 0, 0x0e, 0x10];

let reply;

function read_question(s) {
    s.on('upstream', function (data) {
        if (data.length) {
            reply = reply_to(data);
            s.done();
        }
    });
}

function answer(s) {
    s.on('downstream', function (data, flags) {
        if (data.length && reply) {
            s.send(reply, flags);
        }
    });
}

// The answer to one question in wire format (RFC 1035), or undefined for anything else.
function reply_to(question) {
    if (question.length < 17 || question.readUInt16BE(4) !== 1) {
        return undefined;
    }
    const found = {};
    found[A] = [];
    found[AAAA] = [];
    let at = 12;
    while (question[at]) {
        const size = question[at];
        if (size > 63 || at + size + 5 >= question.length) {
            return undefined;
        }
        const label = question.slice(at + 1, at + 1 + size).toString('utf8');
        if (size === 8) {
            found[A].push(Buffer.from(label, 'hex'));
        } else if (size === 32) {
            found[AAAA].push(Buffer.from(label, 'hex'));
        }
        at += size + 1;
    }
    const type = question.readUInt16BE(at + 1);
    const addresses = found[type] || [];
    const parts = [
        question.slice(0, 2),
        Buffer.from([0x84, 0, 0, 1, 0, addresses.length, 0, 0, 0, 0]),
        question.slice(12, at + 5),
    ];
    addresses.forEach(function (address) {
        parts.push(Buffer.from([0xc0, 12, 0, type, 0, 1].concat(TTL, [0, address.length])), address);
    });
    return Buffer.concat(parts);
}

export default { peer, name, passes, tls_peer, read_question, answer };
