// action: delete
// args: ["7"]
// outcome: succeeded
// value: null
function remove(id, callback) {
  callback(id === '7' ? null : new Error('not the bare id'));
}
