"""The board's Lua scripts. Each one is one atomic change.

KEYS are always the board and the counts of its fields per job; ARGV are listed above each script.
"""

NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
"""

# ARGV job, lane, units. Returns the time, then the units that were added.
ENQUEUE = (
    NOW
    + """
local answer = {string.format('%.6f', now)}
local entry = cjson.encode({state = 'queued', epoch = 1, attempts = 0, at = now, lane = tonumber(ARGV[2])})
for i = 3, #ARGV do
  if redis.call('HSETNX', KEYS[1], ARGV[1] .. '/' .. ARGV[i], entry) == 1 then
    table.insert(answer, ARGV[i])
  end
end
if #answer > 1 then redis.call('HINCRBY', KEYS[2], ARGV[1], #answer - 1) end
return answer
"""
)

# ARGV job, unit, epoch. Returns the attempt's number, 0 for a stale message, -1 if there is no field.
CLAIM = (
    NOW
    + """
local found = redis.call('HGET', KEYS[1], ARGV[1] .. '/' .. ARGV[2])
if not found then return -1 end
local entry = cjson.decode(found)
if entry.state ~= 'queued' or entry.epoch ~= tonumber(ARGV[3]) then return 0 end
entry.state, entry.attempts, entry.at = 'running', entry.attempts + 1, now
redis.call('HSET', KEYS[1], ARGV[1] .. '/' .. ARGV[2], cjson.encode(entry))
return entry.attempts
"""
)

# ARGV job, unit, epoch. Creates a running field if there is none (Redis was emptied); returns 1 if it did.
ADOPT = (
    NOW
    + """
local entry = {state = 'running', epoch = tonumber(ARGV[3]), attempts = 1, at = now, lane = 0}
local created = redis.call('HSETNX', KEYS[1], ARGV[1] .. '/' .. ARGV[2], cjson.encode(entry))
if created == 1 then redis.call('HINCRBY', KEYS[2], ARGV[1], 1) end
return created
"""
)

# ARGV job, unit, epoch. Returns 1 if the field still belongs to this attempt; never creates a field.
TOUCH = (
    NOW
    + """
local found = redis.call('HGET', KEYS[1], ARGV[1] .. '/' .. ARGV[2])
if not found then return 0 end
local entry = cjson.decode(found)
if entry.state ~= 'running' or entry.epoch ~= tonumber(ARGV[3]) then return 0 end
entry.at = now
redis.call('HSET', KEYS[1], ARGV[1] .. '/' .. ARGV[2], cjson.encode(entry))
return 1
"""
)

# ARGV job, unit, state, epoch, refund. Makes the field queued under the next epoch if it still has this
# state and epoch. Returns the epoch, the time and the lane, or nothing.
REQUEUE = (
    NOW
    + """
local found = redis.call('HGET', KEYS[1], ARGV[1] .. '/' .. ARGV[2])
if not found then return {} end
local entry = cjson.decode(found)
if entry.state ~= ARGV[3] or entry.epoch ~= tonumber(ARGV[4]) then return {} end
entry.state, entry.epoch, entry.at, entry.why = 'queued', entry.epoch + 1, now, nil
entry.attempts = math.max(0, entry.attempts - tonumber(ARGV[5]))
redis.call('HSET', KEYS[1], ARGV[1] .. '/' .. ARGV[2], cjson.encode(entry))
return {tostring(entry.epoch), string.format('%.6f', now), tostring(entry.lane)}
"""
)

# ARGV job, unit, epoch, maximum of attempts, why, refund. Makes the unit of a lost process queued under the
# next epoch; after the last attempt marks it so that the next sweep gives it up. Returns the epoch, the
# time and the lane (-1 after the last attempt), or nothing if the field has another epoch.
LOSE = (
    NOW
    + """
local found = redis.call('HGET', KEYS[1], ARGV[1] .. '/' .. ARGV[2])
if not found then return {} end
local entry = cjson.decode(found)
if entry.epoch ~= tonumber(ARGV[3]) then return {} end
local lane = entry.lane
if entry.state == 'queued' then entry.attempts = entry.attempts + 1 end
entry.attempts, entry.epoch = math.max(0, entry.attempts - tonumber(ARGV[6])), entry.epoch + 1
if entry.attempts < tonumber(ARGV[4]) then
  entry.state, entry.at = 'queued', now
else
  entry.state, entry.at, entry.why, lane = 'running', 0, ARGV[5], -1
end
redis.call('HSET', KEYS[1], ARGV[1] .. '/' .. ARGV[2], cjson.encode(entry))
return {tostring(entry.epoch), string.format('%.6f', now), tostring(lane)}
"""
)

# ARGV job, units. Removes them; returns how many fields of the job are left.
FINISH = """
local removed = 0
for i = 2, #ARGV do removed = removed + redis.call('HDEL', KEYS[1], ARGV[1] .. '/' .. ARGV[i]) end
if removed > 0 then
  local left = redis.call('HINCRBY', KEYS[2], ARGV[1], -removed)
  if left > 0 then return left end
  redis.call('HDEL', KEYS[2], ARGV[1])
end
return tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0)
"""

# ARGV field, value. Removes a field that has this value.
REMOVE = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0
"""

# ARGV job. Counts the job's fields.
RECOUNT = """
local start, count = ARGV[1] .. '/', 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if field:sub(1, #start) == start and not field:find('/', #start + 1, true) then count = count + 1 end
end
if count > 0 then return redis.call('HSET', KEYS[2], ARGV[1], count) end
return redis.call('HDEL', KEYS[2], ARGV[1])
"""
