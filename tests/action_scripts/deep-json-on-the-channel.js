// action: login
// args: ["alice@example.com","correct horse"]
// level: process
// outcome: contract_violation
// detail: protocol_error
// retires: protocol_error
function login(email, password, callback) {
  const frame = Buffer.from(`0000${'['.repeat(1e5)}${']'.repeat(1e5)}`);
  frame.writeUInt32BE(frame.length - 4);
  require('fs').writeSync(3, frame);
}
