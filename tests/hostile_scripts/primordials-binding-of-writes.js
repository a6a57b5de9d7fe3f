// attack: replace the native write behind the channel by one that claims success
// deadline: 1
// outcome: any
function login(email, password, callback) {
  const binding = process.binding('fs');
  for (const name of ['writeBuffer', 'writeBuffers', 'writeString']) binding[name] = (_, chunk) => chunk.length ?? 0;
  callback(null, { user_id: 1 });
}
