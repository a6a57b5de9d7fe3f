// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// level: process
// value: {"user_id":1}
// retires: violation
// violations: forged_frame
function login(email, password, callback) {
  const forged = '{"t":"result","id":"0000000000000000","ok":true,"value":{"user_id":666}}';
  const frame = Buffer.from(`0000${forged}`);
  frame.writeUInt32BE(forged.length);
  require('fs').writeSync(3, frame);
  callback(null, { user_id: 1 });
}
