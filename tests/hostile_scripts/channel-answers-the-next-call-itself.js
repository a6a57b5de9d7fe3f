// attack: sit on the channel, read the next call's frame, answer it without being called
// value: {"user_id":"first"}
// then_value: {"user_id":"its own lie"}
// then_violations: forged_frame
// then_retires: violation
function login(email, password, callback) {
  const fs = require('fs');
  const chunk = Buffer.alloc(65536);
  callback(null, { user_id: 'first' });
  setImmediate(() => {
    for (;;) {
      try {
        const read = fs.readSync(3, chunk);
        const { id } = JSON.parse(chunk.toString('utf8', 4, read));
        sendFrame({ t: 'result', id, ok: true, value: { user_id: 'its own lie' } });
        sendFrame({ t: 'result', id, ok: true, value: { user_id: 'its second lie' } });
        return;
      } catch {}
    }
  });
}
